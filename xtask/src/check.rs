//! `cargo xtask check`: formatting, lints, licences and advisories, as a reviewer would ask for them.
//!
//! It runs every check, whatever the others found, and fails if any did.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, pages, prerequisites};

/// Pinned, so that a new release can neither fail a build nor ask for a newer toolchain.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

pub fn run(interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut failures: Vec<&str> = Vec::new();
    let cargo = |arguments: &[&str]| compile::cargo(&workspace, arguments);
    let mut step = |heading: &'static str, command: &mut Command| -> anyhow::Result<()> {
        console::step(heading);
        if !interrupt.run(command)?.success() {
            failures.push(heading);
        }
        Ok(())
    };

    step("Formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    // Modules that a macro declares are invisible to `cargo fmt`.
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .args(["--check", "--edition", "2024"])
        .args(script_bindings(&workspace)?)
        .current_dir(workspace.root());
    step("Formatting of the scripts' bindings", &mut rustfmt)?;
    let mut biome = pages::check(&workspace, interrupt)?;
    step("Formatting and lints of the pages", &mut biome)?;
    step("Lints", &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    ensure_cargo_deny(&workspace, interrupt)?;
    step("Licences and sources", &mut cargo(&["deny", "check", "licenses", "sources", "bans"]))?;
    // The database is fetched apart, so that a missing connection does not look like a vulnerability.
    console::step("Fetching the advisory database");
    let is_fetched = interrupt.run(&mut cargo(&["deny", "fetch", "db"]))?.success();
    if is_fetched {
        step("Advisories", &mut cargo(&["deny", "--offline", "check", "advisories"]))?;
    }

    if !is_fetched {
        println!("Not checked: advisories, whose database can't be fetched from here");
    }
    if failures.is_empty() {
        println!("{}", if is_fetched { "All checks passed" } else { "All other checks passed" });
        Ok(ExitCode::SUCCESS)
    } else {
        println!("Failed: {}", failures.join("; "));
        Ok(ExitCode::FAILURE)
    }
}

/// The Rust files below each crate's `src/scripts`, which `declare_scripts!` makes modules of.
fn script_bindings(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for member in std::fs::read_dir(workspace.root().join("crates"))? {
        folders.push(member?.path().join("src/scripts"));
    }
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn ensure_cargo_deny(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let beside_cargo = home.map(|home| home.join("bin/cargo-deny")).is_some_and(|path| path.is_file());
    if beside_cargo || prerequisites::find("cargo-deny").is_some() {
        return Ok(());
    }
    console::step("Installing cargo-deny");
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "--locked", CARGO_DENY]).current_dir(workspace.root());
    compile::succeed(
        interrupt,
        &mut cargo,
        &format!("cargo-deny could not be installed; run `cargo install --locked {CARGO_DENY}`"),
    )
}
