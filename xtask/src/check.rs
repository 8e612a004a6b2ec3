//! `cargo xtask check`: formatting, lints, licences and advisories, as a reviewer would ask for them.
//!
//! It runs every check, whatever the others found, and fails if any did.

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

fn ensure_cargo_deny(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
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
