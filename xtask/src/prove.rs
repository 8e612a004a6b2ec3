//! `cargo xtask prove`: builds what tries to refute the engine, and hands over to it (`crates/prove`).

use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

/// What is passed on to the program, which knows its own options.
pub struct Options {
    arguments: Vec<std::ffi::OsString>,
}

impl Options {
    pub fn parse(arguments: &mut lexopt::Parser) -> anyhow::Result<Options> {
        Ok(Options { arguments: arguments.raw_args()?.collect() })
    }
}

pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    prerequisites::ensure(&[prerequisites::REDIS_SERVER], interrupt)?;
    console::step("Building the model");
    let mut cargo = compile::cargo(&workspace, &["build", "--release", "--package", "prove"]);
    compile::succeed(interrupt, &mut cargo, "the model did not build")?;

    let mut prove = Command::new(workspace.target().join("release/prove"));
    prove.args(&options.arguments).current_dir(workspace.root());
    let status = interrupt.run(&mut prove)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
