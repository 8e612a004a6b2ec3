//! What every script keeps, for the tests of this crate and of those that bring scripts of their own.

use super::Script;
use super::script::PRELUDES;
use std::path::Path;

/// Every way in which `declared` and the Lua files in `folder` and below break the rules, in words; empty when all is well.
///
/// The rules: a file's name, its header and its body agree on the keys. No script builds a key. No prelude takes a key by
/// itself. Every file is declared, once.
pub fn faults(declared: &[&Script], folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, script) in declared.iter().enumerate() {
        let mut fault = |what: String| faults.push(format!("{}: {what}", script.name));
        let body = script.body();
        let used = (1..=20).filter(|n| body.contains(&format!("KEYS[{n}]"))).max().unwrap_or(0);
        if used != script.keys && !body.contains("unpack(KEYS)") {
            fault(format!("uses {used} keys and declares {}", script.keys));
        }
        let header: String = body.lines().take_while(|line| line.starts_with("--")).collect();
        for word in ["KEYS  1 ", "Replies"] {
            if !header.contains(word) {
                fault(format!("has no `{word}` in its header"));
            }
        }
        for call in script.source().replace("redis.pcall(", "redis.call(").split("redis.call(").skip(1) {
            let Some((command, rest)) = call.split_once(", ") else { continue };
            // These two name a subcommand before the key.
            let names_key = !["'XGROUP'", "'XREADGROUP'"].contains(&command);
            let key = rest.split([',', ')']).next().unwrap_or_default();
            if names_key && (key.contains("..") || key.starts_with('\'')) {
                fault(format!("builds the key {key}"));
            }
        }
        if declared[..at].iter().any(|other| other.name == script.name) {
            fault("is declared twice".to_owned());
        }
    }
    for prelude in PRELUDES {
        if prelude.contains("KEYS[") {
            faults.push("a prelude takes keys by itself, not as arguments".to_owned());
        }
    }
    for (name, text) in lua_files(folder, &mut faults) {
        let is_prelude = PRELUDES.contains(&text.as_str());
        let is_declared = declared
            .iter()
            .any(|script| script.body() == text && name == format!("{}-{}.lua", script.name, script.keys));
        if !is_prelude && !is_declared {
            faults.push(format!("{name}: is not declared"));
        }
    }
    faults
}

/// Name and text of every Lua file in `folder` and below.
fn lua_files(folder: &Path, faults: &mut Vec<String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries.flatten(),
            Err(error) => {
                faults.push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".lua") {
                match std::fs::read_to_string(&path) {
                    Ok(text) => found.push((name, text)),
                    Err(error) => faults.push(format!("{name}: {error}")),
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::ALL;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts")
    }

    #[test]
    fn every_script_keeps_the_rules_and_every_file_is_declared() {
        assert_eq!(faults(ALL, &folder()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_nobody_declared_is_found() {
        let (forgotten, others) = ALL.split_last().unwrap();
        let expected = format!("{}-{}.lua: is not declared", forgotten.name, forgotten.keys);
        assert_eq!(faults(others, &folder()), [expected]);
    }
}
