//! `cargo xtask check`: formatting, lints, licences and advisories, as a reviewer would ask for them.

use std::process::ExitCode;

use crate::interrupt::{Interrupt, Interrupted};
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

pub fn run(interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut failures: Vec<&str> = Vec::new();
    let mut step = |heading: &'static str, arguments: &[&str]| -> anyhow::Result<()> {
        console::step(heading);
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(arguments).current_dir(workspace.root()).env("CARGO_TARGET_DIR", workspace.target());
        if !interrupt.run(&mut cargo)?.success() {
            failures.push(heading);
        }
        Ok(())
    };

    step("Formatting", &["fmt", "--all", "--check"])?;
    step("Lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    match ensure_cargo_deny(&workspace, interrupt) {
        Ok(()) => {
            step("Licences, sources and duplicates", &["deny", "check", "licenses", "sources", "bans"])?;
            // Needs the advisory database, which is fetched; without a way out this fails and says so.
            step("Advisories", &["deny", "check", "advisories"])?;
        }
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            console::error(&format!("{error:#}"));
            failures.push("cargo-deny is missing");
        }
    }

    if failures.is_empty() {
        println!("All checks passed");
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
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(["install", "--locked", "cargo-deny"]).current_dir(workspace.root());
    compile::succeed(
        interrupt,
        &mut cargo,
        "cargo-deny could not be installed; run `cargo install --locked cargo-deny`",
    )
}
