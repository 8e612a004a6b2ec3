//! Measures Stampede against its budgets, beside references that run on the same machine in the same minutes.
//!
//! Absolute numbers say more about the machine than about us, so every throughput stands beside that of a program
//! which does no more than the unavoidable: redis-benchmark running the same script, Nginx serving the same bytes.
//! Every answer is looked at, and at the end all units are counted: a fast wrong answer makes the run fail.
//!
//! Run it by `cargo xtask bench`, which builds what is measured.

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
            eprintln!("error: some answers were wrong, or units do not add up; see the report");
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
    // One thread for the generator: it shares the machine with what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no asynchronous runtime")?;
    let mut report = Report::begin(&settings)?;
    runtime.block_on(measure::everything(&settings, &mut report))?;
    let folder = report.write()?;
    print!("{}", report.table());
    println!("Report: {}", folder.join("report.md").display());
    Ok(report.all_answers_were_right())
}

/// `bench crowd`: who gets the units of a sale that bots attack.
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no asynchronous runtime")?;
    let report = runtime.block_on(crowd::run(&settings))?;
    let folder = stampede_tests::checkout().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("crowd.md");
    std::fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{report}");
    println!("Report: {}", path.display());
    Ok(true)
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
