//! Building: the functions for wasm, the host and the tests natively.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::console;
use crate::interrupt::Interrupt;
use crate::workspace::Workspace;

const WASM_TARGET: &str = "wasm32-wasip2";

/// All components of spin.toml, by one cargo, into target/wasm32-wasip2/function/.
pub fn functions(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    let components = workspace.manifest()?.components;
    console::step(&format!("Building {} functions for {WASM_TARGET}", components.len()));
    let mut cargo = cargo(workspace, &["build", "--profile", "function", "--target", WASM_TARGET]);
    for component in &components {
        cargo.args(["--package", component]);
    }
    succeed(interrupt, &mut cargo, "the functions did not build")
}

/// The runtime, into target/release/host.
pub fn host(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<()> {
    console::step("Building the host");
    succeed(
        interrupt,
        &mut cargo(workspace, &["build", "--release", "--package", "host"]),
        "the host did not build",
    )
}

/// A cargo command in the checkout, on the checkout's own target folder.
pub fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", workspace.target())
        .stdin(Stdio::null());
    // `cargo run` and `cargo test` tell their programs of the package they belong to. Build scripts that look at
    // these would run again, and with them half of the host, whenever another program started the same build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command that has to succeed; it has printed its own reasons if it did not.
pub fn succeed(interrupt: &Interrupt, command: &mut Command, failure: &str) -> anyhow::Result<()> {
    let status = interrupt.run(command)?;
    if !status.success() {
        bail!("{failure} (`{}` ended with {status})", command.get_program().to_string_lossy());
    }
    Ok(())
}

/// Makes sure that rustc can build for wasm.
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
