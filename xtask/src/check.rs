//! `cargo xtask check`: formatting, lints, licences and advisories, as a reviewer would ask for them.

use std::process::ExitCode;

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

pub fn run(interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut failures: Vec<&str> = Vec::new();
    let succeeds = |arguments: &[&str]| -> anyhow::Result<bool> {
        Ok(interrupt.run(&mut compile::cargo(&workspace, arguments))?.success())
    };
    let mut step = |heading: &'static str, arguments: &[&str]| -> anyhow::Result<()> {
        console::step(heading);
        if !succeeds(arguments)? {
            failures.push(heading);
        }
        Ok(())
    };

    step("Formatting", &["fmt", "--all", "--check"])?;
    step("Lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    ensure_cargo_deny(&workspace, interrupt)?;
    step("Licences and sources", &["deny", "check", "licenses", "sources", "bans"])?;
    // Fetched apart, so that being offline is told from having a vulnerability.
    console::step("Fetching the advisory database");
    let is_fetched = succeeds(&["deny", "fetch", "db"])?;
    if is_fetched {
        step("Advisories", &["deny", "--offline", "check", "advisories"])?;
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
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(["install", "--locked", "cargo-deny"]).current_dir(workspace.root());
    compile::succeed(
        interrupt,
        &mut cargo,
        "cargo-deny could not be installed; run `cargo install --locked cargo-deny`",
    )
}
