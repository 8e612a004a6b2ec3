//! The pages' own tools: Biome, which formats and lints them, and Node, which runs their unit tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

/// What Node's package manager needs to install Biome; both name the exact version. They name Biome's programs for Linux
/// themselves: the package around them wants programs for all systems in the lock file, and a mirror may lack some.
const PACKAGE_FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// A command that checks the format and the lints of the pages, as biome.jsonc wants them.
pub fn check(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<Command> {
    let mut biome = Command::new(ensure_biome(workspace, interrupt)?);
    biome.args(["check", "--error-on-warnings"]).current_dir(workspace.root()).stdin(Stdio::null());
    Ok(biome)
}

/// Installs Biome into target/biome, unless the version of package-lock.json is there already.
fn ensure_biome(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    let folder = workspace.target().join("biome");
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux-x64",
        "aarch64" => "linux-arm64",
        other => bail!("package.json names no Biome for {other}"),
    };
    let program = folder.join(format!("node_modules/@biomejs/cli-{platform}/biome"));
    let mut is_installed = program.is_file();
    std::fs::create_dir_all(&folder)?;
    for name in PACKAGE_FILES {
        let wanted =
            std::fs::read(workspace.root().join(name)).with_context(|| format!("cannot read {name}"))?;
        let copy = folder.join(name);
        if std::fs::read(&copy).ok().as_ref() != Some(&wanted) {
            is_installed = false;
            std::fs::write(copy, wanted)?;
        }
    }
    if is_installed {
        return Ok(program);
    }
    prerequisites::ensure(&[prerequisites::NODE, prerequisites::NPM], interrupt)?;
    console::step("Installing Biome");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder).stdin(Stdio::null());
    // npm's own words are progress, not results.
    npm.stdout(std::io::stderr());
    let outcome = compile::succeed(interrupt, &mut npm, "Biome could not be installed");
    if outcome.is_err() || !program.is_file() {
        // Otherwise half an installation would look finished the next time.
        std::fs::remove_file(folder.join("package-lock.json"))?;
    }
    outcome?;
    anyhow::ensure!(program.is_file(), "npm did not install {}", program.display());
    Ok(program)
}

/// A command for each file of unit tests. It writes the test anything protocol, and runs the tests whose name contains
/// `filter`.
pub fn tests(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<Vec<Command>> {
    let folder = workspace.root().join("tests/pages");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "js") {
            files.push(path);
        }
    }
    files.sort();
    anyhow::ensure!(!files.is_empty(), "there are no tests in {}", folder.display());
    Ok(files
        .into_iter()
        .map(|file| {
            let mut node = Command::new("node");
            node.arg("--test-reporter=tap").current_dir(workspace.root()).stdin(Stdio::null());
            if let Some(filter) = filter {
                node.arg(format!("--test-name-pattern={}", escaped(filter)));
            }
            node.arg(file);
            node
        })
        .collect())
}

/// A pattern that matches `text` and nothing else: Node takes regular expressions.
fn escaped(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || character == '_';
    text.chars()
        .flat_map(|character| (!is_plain(character)).then_some('\\').into_iter().chain([character]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_filter_is_no_pattern() {
        assert_eq!(escaped("a_clock::(b.c)"), r"a_clock\:\:\(b\.c\)");
    }
}
