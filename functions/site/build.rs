//! Prepares static/ for the component, so that a request costs nothing but sending bytes.
//!
//! It puts each page into static/frame.html, and drops comments and indentation. It gives each file under static/assets a
//! name with a hash in it, over the bytes of that file and of all files that it refers to, and rewrites every reference
//! `/assets/<file>` in HTML, CSS, JavaScript and SVG. It compresses pages and assets with brotli and gzip. It makes a
//! page of docs/problems.md, where the types of problems lead. It leaves static/pictures alone: the manifest mounts that
//! folder beside the component.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The path of assets, both in static/ and as they are served.
const ASSETS: &str = "/assets/";
/// What all pages share: head, header and footer.
const FRAME: &str = "frame.html";
/// Where the frame takes in what a page has of its own.
const HEAD_PLACE: &str = "<!-- the page's own head -->";
const BODY_PLACE: &str = "<!-- the page's own body -->";
/// The page that explains problems. It is made here.
const PROBLEMS: &str = "problems.html";

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let folder = root.join("static");
    let problems = root.join("docs/problems.md");
    for watched in [&folder, &folder.join("assets"), &problems] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }

    let mut assets = read_folder(&folder.join("assets"))?;
    for (name, bytes) in &mut assets {
        if matches!(extension(name), "js" | "css") {
            let code = std::str::from_utf8(bytes).with_context(|| name.clone())?;
            *bytes = bare(code).with_context(|| format!("static/assets/{name}"))?.into_bytes();
        }
    }
    let names = hashed_names(&assets)?;
    let mut files = Vec::new();
    for (name, bytes) in &assets {
        let bytes = rewritten(name, bytes, &names)?;
        files.push(File {
            path: format!("{ASSETS}{}", names[name]),
            name: name.clone(),
            bytes,
            is_page: false,
        });
    }
    let mut pages = read_folder(&folder)?;
    let frame = pages.remove(FRAME).with_context(|| format!("static/{FRAME} is missing"))?;
    let frame = String::from_utf8(frame).with_context(|| format!("static/{FRAME}"))?;
    for (name, bytes) in &pages {
        ensure!(name.ends_with(".html"), "static/{name}: only pages stand here; assets go to static/assets");
        let page = std::str::from_utf8(bytes).with_context(|| format!("static/{name}"))?;
        let page = framed(&frame, name, page, &assets).with_context(|| format!("static/{name}"))?;
        let bytes = rewritten(name, page.as_bytes(), &names)?;
        files.push(File { path: name.clone(), name: name.clone(), bytes, is_page: true });
    }
    let markdown = fs::read_to_string(&problems).context("docs/problems.md")?;
    let (html, slugs) = problems_page(&markdown)?;
    let bytes = rewritten(PROBLEMS, html.as_bytes(), &names)?;
    files.push(File { path: PROBLEMS.to_owned(), name: PROBLEMS.to_owned(), bytes, is_page: true });
    for page in ["index.html", "item.html", "orders.html", "order.html", "404.html"] {
        ensure!(pages.contains_key(page), "static/{page} is missing");
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    write_table(&files, &slugs, &out)
}

/// A page or an asset to serve.
struct File {
    /// An asset: the path of its requests. A page: the name of its file, since several paths may share it.
    path: String,
    /// The file's name in static/, which tells its media type.
    name: String,
    bytes: Vec<u8>,
    is_page: bool,
}

/// The files right in `folder` by name, without folders and hidden files.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.starts_with('.') && !name.ends_with('~') {
            println!("cargo::rerun-if-changed={}", entry.path().display());
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// The page `name` inside the frame. A preload for each module that its script imports stands before the script, so that
/// the browser fetches all of them at once.
fn framed(frame: &str, name: &str, page: &str, assets: &BTreeMap<String, Vec<u8>>) -> Result<String> {
    let head = between(page, "<head>", "</head>")?;
    let (attributes, body) =
        between(page, "<body", "</body>")?.split_once('>').context("<body is not closed")?;
    let (before, script) =
        head.split_once("<script type=\"module\"").context("no module script in the head")?;
    let (_, _, entry) = references(script).next().context("the module script is no asset")?;
    let mut head = before.trim_end().to_owned();
    for module in imports(entry, assets)? {
        write!(head, "\n    <link rel=\"modulepreload\" href=\"{ASSETS}{module}\">")?;
    }
    write!(head, "\n    <script type=\"module\"{}", script.trim_end())?;

    for place in [HEAD_PLACE, BODY_PLACE, "<body"] {
        ensure!(frame.matches(place).count() == 1, "static/{FRAME} must have {place} once");
    }
    let path = if name == "index.html" { "/" } else { &format!("/{}", name.trim_end_matches(".html")) };
    let framed = frame
        .replace("<body", &format!("<body{attributes}"))
        // The link of the navigation that leads to this very page.
        .replace(
            &format!("<a href=\"{path}\" data-t"),
            &format!("<a href=\"{path}\" aria-current=\"page\" data-t"),
        )
        .replace(HEAD_PLACE, head.trim())
        .replace(BODY_PLACE, body.trim());
    without_comments(&framed)
}

/// The modules that `entry` imports, and those that they import, nearest first.
fn imports(entry: &str, assets: &BTreeMap<String, Vec<u8>>) -> Result<Vec<String>> {
    let mut modules = vec![entry.to_owned()];
    let mut read = 0;
    while let Some(module) = modules.get(read) {
        let bytes = assets.get(module).with_context(|| format!("{ASSETS}{module} is not there"))?;
        let text = std::str::from_utf8(bytes).with_context(|| module.clone())?;
        for (start, _, target) in references(text) {
            // A worker or a picture is named in other ways, and loaded when it is needed.
            let is_import = text[..start].ends_with("from \"") || text[..start].ends_with("import \"");
            if is_import && !modules.iter().any(|module| module == target) {
                modules.push(target.to_owned());
            }
        }
        read += 1;
    }
    modules.remove(0);
    Ok(modules)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Result<&'a str> {
    let found = text.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    found.map(|(inner, _)| inner).with_context(|| format!("no {start} … {end}"))
}

/// Removes comments, which are for readers of static/.
fn without_comments(html: &str) -> Result<String> {
    let mut result = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, comment)) = rest.split_once("<!--") {
        result.push_str(before.trim_end_matches([' ', '\n']));
        rest = comment.split_once("-->").context("a comment without an end")?.1;
    }
    result.push_str(rest);
    Ok(result.trim_start().to_owned())
}

/// JavaScript or CSS without indentation, empty lines and comments that stand on lines of their own: a sixth of what a
/// shopper would have to load.
fn bare(code: &str) -> Result<String> {
    let mut result = String::with_capacity(code.len());
    let mut lines = code.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("/*") {
            let mut line = line;
            while !line.contains("*/") {
                line = lines.next().context("a comment without an end")?;
            }
            ensure!(line.ends_with("*/"), "code behind a comment: {line}");
        } else if !line.is_empty() && !line.starts_with("//") {
            // Inside a text of several lines, indentation would mean something.
            ensure!(line.matches('`').count() % 2 == 0, "a template literal must end on its line: {line}");
            result.push_str(line);
            result.push('\n');
        }
    }
    Ok(result)
}

fn is_text(name: &str) -> bool {
    matches!(extension(name), "html" | "css" | "js" | "svg" | "json" | "txt" | "webmanifest")
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Every `/assets/<file>` in `text`: its start, its end, and the file.
fn references(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    text.match_indices(ASSETS).map(|(start, _)| {
        let rest = &text[start + ASSETS.len()..];
        let is_name = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        let length = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
        let name = rest[..length].trim_end_matches('.');
        (start, start + ASSETS.len() + name.len(), name)
    })
}

/// For each asset its name with a hash of everything that it leads to, itself included. The hash is over the files of
/// static/, not over what is served, because modules may refer to each other in a circle.
fn hashed_names(assets: &BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, String>> {
    let mut leads_to: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, bytes) in assets {
        let text = if is_text(name) { std::str::from_utf8(bytes).with_context(|| name.clone())? } else { "" };
        leads_to.insert(name, references(text).map(|(_, _, target)| target).collect());
    }
    let mut names = BTreeMap::new();
    for name in assets.keys() {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![name.as_str()];
        while let Some(next) = waiting.pop() {
            if reached.insert(next) {
                waiting.extend(leads_to.get(next).into_iter().flatten().copied());
            }
        }
        let mut hash = Sha256::new();
        for file in reached {
            hash.update((file.len() as u64).to_le_bytes());
            hash.update(file);
            if let Some(bytes) = assets.get(file) {
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
        let (stem, extension) =
            name.rsplit_once('.').with_context(|| format!("static/assets/{name} has no extension"))?;
        names.insert(name.clone(), format!("{stem}-{}.{extension}", hex(&hash.finalize()[..6])));
    }
    Ok(names)
}

fn rewritten(name: &str, bytes: &[u8], names: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    if !is_text(name) {
        return Ok(bytes.to_vec());
    }
    let text = std::str::from_utf8(bytes).with_context(|| name.to_owned())?;
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end, target) in references(text) {
        let Some(hashed) = names.get(target) else {
            bail!("static: {name} refers to {ASSETS}{target}, which is not there");
        };
        result.push_str(&text[done..start]);
        result.push_str(ASSETS);
        result.push_str(hashed);
        done = end;
    }
    result.push_str(&text[done..]);
    Ok(result.into_bytes())
}

fn media_type(name: &str) -> Result<&'static str> {
    Ok(match extension(name) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => bail!("static/{name}: no media type is known for it"),
    })
}

/// Writes the bytes, compressed and not, and the table that the component includes.
fn write_table(files: &[File], slugs: &[String], out: &Path) -> Result<()> {
    let mut table = String::from("pub static FILES: &[File] = &[\n");
    for (number, file) in files.iter().enumerate() {
        let include = |bytes: &[u8], suffix: &str| -> Result<String> {
            let path = out.join(format!("{number}{suffix}"));
            fs::write(&path, bytes)?;
            Ok(format!("include_bytes!({:?})", path.display().to_string()))
        };
        let smaller = |bytes: Vec<u8>, suffix: &str| -> Result<String> {
            // Compression that saves less than a tenth is not worth a decoder's time.
            if !is_text(&file.name) || bytes.len() * 10 > file.bytes.len() * 9 {
                return Ok("None".to_owned());
            }
            Ok(format!("Some({})", include(&bytes, suffix)?))
        };
        let brotli = smaller(brotli(&file.bytes)?, ".br")?;
        let gzip = smaller(gzip(&file.bytes)?, ".gz")?;
        let hash = hex(&Sha256::digest(&file.bytes)[..9]);
        writeln!(
            table,
            "    File {{ path: {:?}, media_type: {:?}, is_page: {}, etags: [{:?}, {:?}, {:?}], identity: {}, gzip: {gzip}, brotli: {brotli} }},",
            file.path,
            media_type(&file.name)?,
            file.is_page,
            format!("\"{hash}\""),
            format!("\"{hash}-gz\""),
            format!("\"{hash}-br\""),
            include(&file.bytes, "")?,
        )?;
    }
    writeln!(table, "];\npub static PROBLEM_SLUGS: &[&str] = &{slugs:?};")?;
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    brotli::CompressorWriter::new(&mut compressed, 64 * 1024, 11, 22).write_all(bytes)?;
    Ok(compressed)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A page of all `## slug` sections, each with its slug as an anchor; and the slugs.
fn problems_page(markdown: &str) -> Result<(String, Vec<String>)> {
    let mut slugs = Vec::new();
    let mut sections = String::new();
    let (introduction, rest) = markdown.split_once("\n## ").context("docs/problems.md has no sections")?;
    let introduction = introduction.trim_start_matches("# Problems");
    for section in rest.split("\n## ") {
        let (slug, text) = section.split_once('\n').context("docs/problems.md: a section without a text")?;
        let plain = slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        ensure!(plain && !slug.is_empty(), "docs/problems.md: {slug:?} is no slug");
        write!(sections, "<section id=\"{slug}\">\n<h2>{slug}</h2>\n{}</section>\n", paragraphs(text))?;
        slugs.push(slug.to_owned());
    }
    let introduction = paragraphs(introduction);
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Problems · Stampede</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/app.css">
</head>
<body data-page="problems">
<main id="main" class="narrow">
<h1>Problems</h1>
{introduction}{sections}<p><a href="/">Stampede</a></p>
</main>
</body>
</html>
"#
    );
    slugs.sort();
    Ok((html, slugs))
}

fn paragraphs(text: &str) -> String {
    text.trim().split("\n\n").map(|text| format!("<p>{}</p>\n", inline(text))).collect()
}

/// Converts the one mark that docs/problems.md uses: `code`.
fn inline(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped
        .split('`')
        .enumerate()
        .map(|(number, part)| if number % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
        .collect()
}
