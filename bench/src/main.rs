//! Measures Stampede and compares the results with its budgets.
//!
//! Absolute numbers say more about the machine than about Stampede. So the most important ones are compared with a
//! reference program, on the same machine in the same minutes. A reference does only what is unavoidable:
//! redis-benchmark runs the same script, and Nginx serves the same bytes.
//!
//! Every response is checked, and at the end all units are counted. A fast wrong response makes the run fail.
//!
//! `cargo xtask bench` builds everything and runs this program.

mod crowd;
mod load;
mod measure;
mod plot;
mod reference;
mod report;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;

use measure::Settings;
use report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: some responses were wrong, or the units do not add up; see the report");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "crowd") {
        arguments.remove(0);
        return simulate_a_crowd(arguments);
    }
    let settings = parse_arguments(arguments)?;
    let mut report = Report::begin(&settings)?;
    runtime()?.block_on(measure::everything(&settings, &mut report))?;
    let folder = report.write()?;
    print!("{}", report.table());
    println!("Report: {}", folder.join("report.md").display());
    Ok(report.is_right())
}

/// `bench crowd`: simulates a sale that bots attack, and reports who gets the units.
fn simulate_a_crowd(arguments: Vec<OsString>) -> anyhow::Result<bool> {
    use lexopt::prelude::*;

    let mut settings = crowd::Settings::default();
    let mut arguments = lexopt::Parser::from_args(arguments);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("people") => settings.people = arguments.value()?.parse()?,
            Long("requests") => settings.requests = arguments.value()?.parse()?,
            Long("bots") => settings.bots = arguments.value()?.parse()?,
            Long("addresses") => settings.addresses = arguments.value()?.parse()?,
            Long("only") => settings.only = Some(arguments.value()?.string()?),
            Long("to-the-end") => settings.to_the_end = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let report = runtime()?.block_on(crowd::run(&settings))?;
    let folder = stampede_tests::checkout().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("crowd.md");
    std::fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{report}");
    println!("Report: {}", path.display());
    Ok(true)
}

/// The generator gets one thread, because it shares the machine with the servers that it measures.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("no asynchronous runtime")
}

fn parse_arguments(arguments: Vec<OsString>) -> anyhow::Result<Settings> {
    use lexopt::prelude::*;

    let mut settings = Settings::default();
    let mut arguments = lexopt::Parser::from_args(arguments);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => settings.seconds = arguments.value()?.parse()?,
            Long("connections") => settings.connections = arguments.value()?.parse()?,
            Long("shoppers") => settings.shoppers = arguments.value()?.parse()?,
            Long("only") => settings.only = Some(arguments.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(settings)
}
