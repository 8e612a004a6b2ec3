//! `files`: what a component may read of the host's file system.
//!
//! A directory with a destination is mounted as it stands. What a path or a glob matches is copied at start into a folder
//! under the state directory, because a mount is a directory and a pattern is not. Guests can't write to either.

use std::path::{Component as PathPart, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::FilesMount;

/// A directory of the host's and where the guest sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// In the guest, absolute.
    pub destination: String,
}

/// Resolves a component's `files`. `base` is the manifest's folder; `staging` is made if copies are needed.
///
/// # Errors
/// A source that is missing or unreadable, a pattern that matches nothing, or a path that leaves `base`.
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
                // Something in it must stay out, so it can't be mounted as it stands.
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
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("files: can't read {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("files: can't read {}", folder.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn excluded(relative: &Path, exclude: &[String]) -> bool {
    exclude.iter().any(|pattern| matches(pattern, relative))
}

/// Globs: `*` and `?` within a part of a path, `**` for any number of parts.
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
        // What can't be removed costs some disk space, and the host is about to end anyway.
        _ = staging(state_dir, &component);
    }
}

/// A folder for the copies of one component, empty.
pub fn staging(state_dir: &Path, component: &str) -> Result<PathBuf> {
    // A folder for each process: another host on the same state must not lose its files.
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
    fn a_folder_with_a_destination_is_mounted_as_it_stands() {
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
    fn a_missing_folder_a_vain_pattern_and_a_way_out_are_errors() {
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
    fn globs_match_by_parts() {
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
