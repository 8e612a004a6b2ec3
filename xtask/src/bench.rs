//! `cargo xtask bench`: builds everything and starts the load generator in `bench/`.

use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

/// The arguments for the load generator, which parses them itself.
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
    prerequisites::ensure(
        &[prerequisites::REDIS_SERVER, prerequisites::REDIS_BENCHMARK, prerequisites::NGINX],
        interrupt,
    )?;
    compile::ensure_wasm_target(&workspace, interrupt)?;
    compile::functions(&workspace, interrupt)?;
    compile::host(&workspace, interrupt)?;
    console::step("Building the load generator");
    let mut cargo = compile::cargo(&workspace, &["build", "--release", "--package", "bench"]);
    compile::succeed(interrupt, &mut cargo, "the load generator did not build")?;

    console::step("Measuring");
    let mut bench = Command::new(workspace.target().join("release/bench"));
    bench.args(&options.arguments).current_dir(workspace.root());
    let status = interrupt.run(&mut bench)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
