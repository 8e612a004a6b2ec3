//! `spin.toml` as a whole: all its variables, components and watched files.

// Also in functions that several tests share, a panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Component as Part, Path, PathBuf};

use globset::Glob;
use manifest::{Component, Manifest, checkout};

#[test]
fn every_variable_is_used_and_every_use_has_a_variable() {
    let manifest = Manifest::read();
    let declared: BTreeSet<&String> = manifest.variables.iter().collect();
    let used: BTreeSet<&String> = manifest.used.iter().collect();
    let unused: Vec<_> = declared.difference(&used).collect();
    let unknown: Vec<_> = used.difference(&declared).collect();
    assert!(
        unused.is_empty() && unknown.is_empty(),
        "[variables] has names that no component uses: {unused:?}; it lacks names that components use: {unknown:?}"
    );
}

#[test]
fn every_function_is_a_component_whose_folder_and_wasm_file_have_its_name() {
    let manifest = Manifest::read();
    let components: BTreeSet<String> =
        manifest.components.iter().map(|component| component.name.clone()).collect();
    let folders = std::fs::read_dir(checkout().join("functions")).unwrap();
    let folders: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(components, folders);
    for component in &manifest.components {
        let name = &component.name;
        // Cargo writes no hyphen into a file name.
        let file = name.replace('-', "_");
        assert_eq!(component.source, format!("target/wasm32-wasip2/function/{file}.wasm"));
        let command = format!("cargo build --profile function --target wasm32-wasip2 --package {name}");
        assert_eq!(component.command, command);
    }
}

#[test]
fn a_component_watches_the_files_that_it_is_built_from_and_no_other_folder() {
    let mut problems = Vec::new();
    for component in &Manifest::read().components {
        let inputs = inputs(component);
        let patterns: Vec<(&String, Vec<_>)> = component
            .watch
            .iter()
            .map(|pattern| {
                (
                    pattern,
                    alternatives(pattern).map(|one| Glob::new(&one).unwrap().compile_matcher()).collect(),
                )
            })
            .collect();
        for input in &inputs {
            if !patterns.iter().any(|(_, globs)| globs.iter().any(|glob| glob.is_match(input))) {
                problems.push(format!(
                    "{} is built from {}, which it does not watch",
                    component.name,
                    input.display()
                ));
            }
        }
        for (pattern, globs) in &patterns {
            for glob in globs.iter().filter(|glob| !inputs.iter().any(|input| glob.is_match(input))) {
                problems.push(format!(
                    "{} watches {}, but nothing of it goes into the build ({pattern})",
                    component.name,
                    glob.glob()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "watch lists of spin.toml are not true:\n- {}", problems.join("\n- "));
}

/// All that `component` was built from, below the checkout's root. Cargo writes this list beside the
/// component. It names our own crates' sources, the files that they include, and the files that build scripts read.
fn inputs(component: &Component) -> BTreeSet<PathBuf> {
    let list = checkout().join(&component.source).with_extension("d");
    let text = std::fs::read_to_string(&list).unwrap_or_else(|error| {
        panic!("{}: {error}; run `cargo xtask test`, which builds it", list.display())
    });
    let (built, files) = text.trim_end().split_once(": ").unwrap();
    assert_eq!(
        Path::new(built),
        checkout().join(&component.source),
        "run `cargo xtask test`, which builds it here"
    );
    // Spaces in names stand behind a backslash.
    let files = files.replace("\\ ", "\0");
    let mut inputs: BTreeSet<PathBuf> = ["Cargo.toml", "Cargo.lock"].map(PathBuf::from).into();
    for file in files.split(' ').map(|file| without_dots(Path::new(&file.replace('\0', " ")))) {
        // Files of outside libraries never change.
        let Ok(file) = file.strip_prefix(checkout()) else { continue };
        // Build scripts write some files themselves, and name folders to see files come and go.
        if file.starts_with("target") || checkout().join(file).is_dir() {
            continue;
        }
        let package =
            file.ancestors().find(|folder| checkout().join(folder).join("Cargo.toml").is_file()).unwrap();
        inputs.insert(package.join("Cargo.toml"));
        inputs.insert(file.to_owned());
    }
    inputs
}

/// `path` without `..` and `.`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Part::ParentDir => {
                plain.pop();
            }
            Part::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// The patterns that one with `{a,b}` stands for.
fn alternatives(pattern: &str) -> impl Iterator<Item = String> {
    let (before, rest) = pattern.split_once('{').unwrap_or((pattern, "}"));
    let (names, after) = rest.split_once('}').unwrap();
    names.split(',').map(|name| format!("{before}{name}{after}")).collect::<Vec<_>>().into_iter()
}
