//! Builds the functions for wasm, and the host for this machine.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::console;
use crate::interrupt::Interrupt;
use crate::workspace::Workspace;

const WASM_TARGET: &str = "wasm32-wasip2";

/// Builds all components of spin.toml with one cargo command, into target/wasm32-wasip2/function/.
pub fn functions(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    let components = workspace.manifest()?.components;
    console::step(&format!("Building {} functions for {WASM_TARGET}", components.len()));
    let mut cargo = cargo(workspace, &["build", "--profile", "function", "--target", WASM_TARGET]);
    for component in &components {
        cargo.args(["--package", component]);
    }
    succeed(interrupt, &mut cargo, "the functions did not build")
}

/// Builds the runtime into target/release/host.
pub fn host(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    console::step("Building the host");
    succeed(
        interrupt,
        &mut cargo(workspace, &["build", "--release", "--package", "host"]),
        "the host did not build",
    )
}

/// A cargo command that runs in the checkout and builds into the checkout's own target folder.
pub fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", workspace.target())
        .stdin(Stdio::null());
    // `cargo run` and `cargo test` set these variables for the programs they start. Some build scripts depend on them.
    // If they reached cargo, each program that starts this build would compile half of the host again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command, and fails with the message `failure` if it does not succeed. The command itself prints the cause.
pub fn succeed(interrupt: &Interrupt, command: &mut Command, failure: &str) -> anyhow::Result<()> {
    let status = interrupt.run(command)?;
    if !status.success() {
        bail!("{failure} (`{}` ended with {status})", command.get_program().to_string_lossy());
    }
    Ok(())
}

/// Makes sure that rustc can build for wasm, by installing the target if it is missing.
pub fn ensure_wasm_target(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    let library = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .current_dir(workspace.root())
        .output()
        .context("cannot run `rustc`")?;
    let library = String::from_utf8_lossy(&library.stdout).trim().to_owned();
    if !library.is_empty() && std::path::Path::new(&library).is_dir() {
        return Ok(());
    }
    console::step(&format!("Installing the Rust target {WASM_TARGET}"));
    let command = format!("rustup target add {WASM_TARGET}");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM_TARGET]).current_dir(workspace.root()).stdin(Stdio::null());
    match interrupt.run(&mut rustup) {
        Ok(status) if status.success() => Ok(()),
        Err(error) if error.is::<crate::interrupt::Interrupted>() => Err(error),
        _ => bail!("the Rust target {WASM_TARGET} is missing; run `{command}`"),
    }
}
