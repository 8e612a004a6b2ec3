//! `cargo xtask prove --faults N`: sales under faults, each by a seed of its own.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use faults::{Outcome, Plan, run};
use futures_util::{StreamExt, stream};

struct Options {
    runs: u64,
    /// The first run's seed; the others follow by one.
    seed: u64,
    at_once: usize,
}

fn parse() -> anyhow::Result<Options> {
    use lexopt::prelude::*;

    // Different every time, unless a seed is given: the machine's clock is random enough.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut options = Options { runs: 10, seed: now * 1_000, at_once: 2 };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runs") => options.runs = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("at-once") => options.at_once = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = parse().context("prove --faults")?;
    let plans = (options.seed..options.seed + options.runs).map(Plan::of);
    let mut outcomes = stream::iter(plans).map(run).buffer_unordered(options.at_once.max(1));
    let (mut good, mut bad) = (0, Vec::new());
    while let Some(outcome) = outcomes.next().await {
        let outcome = outcome?;
        print(&outcome);
        if outcome.findings.is_empty() {
            good += 1;
        } else {
            bad.push(outcome.plan.seed);
        }
    }
    println!("{good} sales under faults were right, {} were not", bad.len());
    for seed in &bad {
        println!("once more: cargo xtask prove --faults 1 --seed {seed}");
    }
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a line of a log may explain a finding. Refusals for want of Redis are what the faults are made for.
fn is_telling(line: &str) -> bool {
    !line.contains("\"level\":\"info\"")
        && !line.contains("redis is unavailable")
        && !line.contains("broken pipe")
}

fn print(outcome: &Outcome) {
    let Outcome { plan, findings, reservations, orders, took, logs } = outcome;
    let word = if findings.is_empty() { "right" } else { "WRONG" };
    println!("{word}: {reservations} reservations, {orders} orders, {:.1} s, {plan}", took.as_secs_f64());
    for finding in findings {
        println!("  ! {finding}");
    }
    if !findings.is_empty() {
        let lines: Vec<&str> = logs.lines().filter(|line| is_telling(line)).collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            println!("  | {line}");
        }
    }
}
