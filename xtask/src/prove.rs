//! `cargo xtask prove`: builds what tries to refute the engine, and hands over to it.
//!
//! That is the model in `crates/prove`, or with `--faults` the sales under faults in `crates/faults`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, prerequisites};

/// What to run. The rest is passed on to the program, which knows its own options.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// How many sales under faults to run, instead of the model.
    faults: Option<u64>,
    arguments: Vec<OsString>,
}

impl Options {
    pub fn parse(arguments: &mut lexopt::Parser) -> anyhow::Result<Options> {
        use lexopt::prelude::*;

        let mut options = Options { faults: None, arguments: Vec::new() };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("faults") => options.faults = Some(arguments.value()?.parse()?),
                Long(name) => {
                    let name = format!("--{name}");
                    options.arguments.extend([name.into(), arguments.value()?]);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut program = match options.faults {
        None => build_model(&workspace, interrupt)?,
        Some(runs) => {
            let mut faults = build_faults(&workspace, interrupt)?;
            faults.args(["--runs", &runs.to_string()]);
            faults
        }
    };
    program.args(&options.arguments).current_dir(workspace.root());
    let status = interrupt.run(&mut program)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build_model(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<Command> {
    prerequisites::ensure(&[prerequisites::REDIS_SERVER], interrupt)?;
    console::step("Building the model");
    let mut cargo = compile::cargo(workspace, &["build", "--release", "--package", "prove"]);
    compile::succeed(interrupt, &mut cargo, "the model did not build")?;
    Ok(Command::new(workspace.target().join("release/prove")))
}

/// Builds the whole shop too, because each sale runs in a shop of its own.
fn build_faults(workspace: &Workspace, interrupt: &Interrupt) -> anyhow::Result<Command> {
    prerequisites::ensure(&[prerequisites::REDIS_SERVER, prerequisites::POSTGRES], interrupt)?;
    compile::ensure_wasm_target(workspace, interrupt)?;
    compile::functions(workspace, interrupt)?;
    compile::host(workspace, interrupt)?;
    console::step("Building the sales under faults");
    // For debugging, like the tests, whose code they share.
    let mut cargo = compile::cargo(workspace, &["build", "--package", "faults"]);
    compile::succeed(interrupt, &mut cargo, "the sales under faults did not build")?;
    Ok(Command::new(workspace.target().join("debug/faults")))
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(&mut lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn options_of_a_program_are_passed_on_to_it() {
        let model = parse(&["--seconds", "5", "--seed=7"]).unwrap();
        assert_eq!(
            model,
            Options { faults: None, arguments: ["--seconds", "5", "--seed", "7"].map(Into::into).into() }
        );
        let faults = parse(&["--faults", "3", "--seed", "9"]).unwrap();
        assert_eq!(faults, Options { faults: Some(3), arguments: ["--seed", "9"].map(Into::into).into() });
    }

    #[test]
    fn a_word_or_a_bad_number_is_refused() {
        for arguments in [&["faults"][..], &["--faults", "many"], &["--faults"]] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
