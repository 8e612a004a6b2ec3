//! `files`: the files of the host that a component may read.
//!
//! A directory with a destination is mounted as it is. Files that a path or a glob matches are copied at start into a
//! folder under the state directory, because only directories can be mounted. Guests can't write to either.

use std::path::{Component as PathPart, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::FilesMount;

/// A directory of the host, and the path at which the guest sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path on the host.
    pub source: PathBuf,
    /// The absolute path in the guest.
    pub destination: String,
}

/// Resolves a component's `files`. `base` is the manifest's folder. Copies go to `staging`, which is made if needed.
///
/// # Errors
/// Fails if a source is missing or unreadable, a pattern matches nothing, or a pattern leads out of `base`.
pub fn prepare(files: &[FilesMount], exclude: &[String], base: &Path, staging: &Path) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    let mut staged = Vec::new();
    for file in files {
        match file {
            FilesMount::Placement { source, destination } => {
                ensure!(
                    destination.is_absolute(),
                    "files: the destination {} is not absolute",
                    destination.display()
                );
                let path = base.join(source);
                if path.is_file() {
                    staged.push((path, destination.strip_prefix("/").unwrap_or(destination).to_owned()));
                    continue;
                }
                std::fs::read_dir(&path)
                    .with_context(|| format!("files: can't read the folder {}", path.display()))?;
                if exclude.is_empty() {
                    mounts.push(Mount { source: path, destination: destination.display().to_string() });
                    continue;
                }
                // Some files in the directory must stay hidden, so copy the others instead of mounting it.
                for inner in files_below(&path)? {
                    let relative = inner.strip_prefix(base).unwrap_or(&inner);
                    if !excluded(relative, exclude) {
                        let below = inner.strip_prefix(&path).unwrap_or(&inner);
                        let place = destination.strip_prefix("/").unwrap_or(destination).join(below);
                        staged.push((inner, place));
                    }
                }
            }
            FilesMount::Pattern(pattern) => {
                let leaves = Path::new(pattern)
                    .components()
                    .any(|part| !matches!(part, PathPart::Normal(_) | PathPart::CurDir));
                ensure!(!leaves, "files: `{pattern}` must stay below the manifest's folder");
                let before = staged.len();
                let whole = base.join(pattern);
                let candidates =
                    if whole.exists() { files_below(&whole)? } else { files_below(&root_of(base, pattern))? };
                for path in candidates {
                    let relative = path.strip_prefix(base).unwrap_or(&path).to_owned();
                    if (whole.exists() || matches(pattern, &relative)) && !excluded(&relative, exclude) {
                        staged.push((path, relative));
                    }
                }
                ensure!(staged.len() > before, "files: nothing matches `{pattern}`");
            }
        }
    }
    if !staged.is_empty() {
        for (source, place) in staged {
            let copy = staging.join(place);
            if let Some(folder) = copy.parent() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("can't make {}", folder.display()))?;
            }
            std::fs::copy(&source, &copy)
                .with_context(|| format!("files: can't copy {}", source.display()))?;
        }
        mounts.push(Mount { source: staging.to_owned(), destination: "/".to_owned() });
    }
    Ok(mounts)
}

/// The deepest folder that every match of a pattern is in.
fn root_of(base: &Path, pattern: &str) -> PathBuf {
    let fixed = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']));
    let root = fixed.fold(base.to_owned(), |path, part| path.join(part));
    if root.is_dir() { root } else { base.to_owned() }
}

fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect_files(path, &mut Vec::new(), &mut found)?;
    found.sort();
    Ok(found)
}

/// `above` are the folders that lead here. A link back to one of them would never end, so it is not followed.
fn collect_files(folder: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<PathBuf>) -> Result<()> {
    let what = || format!("files: can't read {}", folder.display());
    let real = folder.canonicalize().with_context(what)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.is_dir() {
            collect_files(&path, above, found)?;
        } else {
            found.push(path);
        }
    }
    above.pop();
    Ok(())
}

fn excluded(relative: &Path, exclude: &[String]) -> bool {
    exclude.iter().any(|pattern| matches(pattern, relative))
}

/// Matches a glob: `*` and `?` stand for characters in one part of a path, `**` for any number of parts.
fn matches(pattern: &str, path: &Path) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let path = path.to_string_lossy();
    let path: Vec<&str> = path.split('/').collect();
    parts_match(&pattern, &path)
}

fn parts_match(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            parts_match(rest, path)
                || path.split_first().is_some_and(|(_, deeper)| parts_match(pattern, deeper))
        }
        (Some((part, pattern)), Some((name, path))) => {
            part_matches(part.as_bytes(), name.as_bytes()) && parts_match(pattern, path)
        }
        _ => false,
    }
}

fn part_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            part_matches(rest, name)
                || name.split_first().is_some_and(|(_, shorter)| part_matches(pattern, shorter))
        }
        (Some((b'?', pattern)), Some((_, name))) => part_matches(pattern, name),
        (Some((wanted, pattern)), Some((found, name))) => wanted == found && part_matches(pattern, name),
        _ => false,
    }
}

/// Removes the copies that this process made.
pub fn clean_up(state_dir: &Path, components: impl Iterator<Item = String>) {
    for component in components {
        // The host is about to end, so a copy that can't be removed only costs disk space.
        _ = staging(state_dir, &component);
    }
}

/// The path of the folder for one component's copies. Removes what is in it, and the folder itself.
pub fn staging(state_dir: &Path, component: &str) -> Result<PathBuf> {
    // Each process has its own folder, because another host with the same state directory needs its files.
    let folder = state_dir.join("mounts").join(format!("{component}-{}", std::process::id()));
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("can't empty {}: {error}", folder.display())
        }
        _ => Ok(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        for file in ["static/a.css", "static/deep/b.js", "static/deep/c.map", "other/d.txt"] {
            let path = base.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        base
    }

    fn patterns(patterns: &[&str]) -> Vec<FilesMount> {
        patterns.iter().map(|pattern| FilesMount::Pattern((*pattern).to_owned())).collect()
    }

    #[test]
    fn a_folder_with_a_destination_is_mounted_without_a_copy() {
        let base = world();
        let files = [FilesMount::Placement { source: "static".into(), destination: "/assets".into() }];
        let mounts = prepare(&files, &[], base.path(), &base.path().join("staging")).unwrap();
        assert_eq!(mounts, [Mount { source: base.path().join("static"), destination: "/assets".into() }]);
    }

    #[test]
    fn patterns_are_copied_without_what_is_excluded() {
        let base = world();
        let staging = base.path().join("staging");
        let mounts =
            prepare(&patterns(&["static/**/*", "other"]), &["**/*.map".into()], base.path(), &staging)
                .unwrap();
        assert_eq!(mounts, [Mount { source: staging.clone(), destination: "/".into() }]);
        let found: Vec<_> = files_below(&staging)
            .unwrap()
            .iter()
            .map(|p| p.strip_prefix(&staging).unwrap().to_owned())
            .collect();
        assert_eq!(found, ["other/d.txt", "static/a.css", "static/deep/b.js"].map(PathBuf::from));
    }

    #[test]
    fn a_link_back_to_a_folder_above_is_not_followed() {
        let base = world();
        std::os::unix::fs::symlink(base.path(), base.path().join("static/deep/up")).unwrap();
        std::os::unix::fs::symlink(base.path().join("other"), base.path().join("static/aside")).unwrap();
        let found: Vec<_> = files_below(&base.path().join("static"))
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(base.path()).unwrap().display().to_string())
            .collect();
        let through_the_link = |path: &&String| path.starts_with("static/deep/up/static/");
        assert!(found.contains(&"static/aside/d.txt".to_owned()), "{found:?}");
        assert!(!found.iter().any(|path| through_the_link(&path)), "{found:?}");
    }

    #[test]
    fn a_missing_folder_and_a_pattern_that_matches_nothing_or_leads_out_are_errors() {
        let base = world();
        let missing = [FilesMount::Placement { source: "gone".into(), destination: "/".into() }];
        assert!(
            prepare(&missing, &[], base.path(), &base.path().join("s"))
                .unwrap_err()
                .to_string()
                .contains("gone")
        );
        for pattern in ["nothing/*.css", "../x", "/etc/passwd"] {
            assert!(
                prepare(&patterns(&[pattern]), &[], base.path(), &base.path().join("s")).is_err(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_glob_matches_each_part_of_a_path() {
        for (pattern, path, expected) in [
            ("*.css", "a.css", true),
            ("*.css", "x/a.css", false),
            ("**/*.css", "x/y/a.css", true),
            ("**/*.css", "a.css", true),
            ("x/*", "x/a", true),
            ("x/*", "x/y/a", false),
            ("x/**", "x/y/a", true),
            ("?.css", "ab.css", false),
        ] {
            assert_eq!(matches(pattern, Path::new(path)), expected, "{pattern} {path}");
        }
    }
}
