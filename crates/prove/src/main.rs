//! `cargo xtask prove`: the model against the scripts, for as long as one likes.

use prove::run::{Outcome, Until, run};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct Options {
    seconds: u64,
    seed: u64,
}

impl Options {
    fn parse() -> anyhow::Result<Options> {
        use lexopt::prelude::*;

        let by_clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 1_000_000;
        let mut options = Options { seconds: 60, seed: by_clock };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("seconds") => options.seconds = arguments.value()?.parse()?,
                Long("seed") => options.seed = arguments.value()?.parse()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::parse().and_then(|options| prove_model(&options)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Walks with the model until the time is over, at least once: so `--seconds 0 --seed S` replays one walk.
fn prove_model(options: &Options) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Model: seed {}, {} s, {threads} threads", options.seed, options.seconds);
    let until = match options.seconds {
        0 => Until::Walks(1),
        seconds => Until::Time(Duration::from_secs(seconds)),
    };
    let Outcome { walks, steps, seen, failure } = run(options.seed, until, threads, &[])?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = steps as f64 / seconds.max(0.001);
    let differences = usize::from(failure.is_some());
    println!(
        "Model: {steps} steps in {walks} walks, {seconds:.1} s, {rate:.0} steps a second, {differences} differences"
    );
    println!("Model: {} kinds of steps and replies seen", seen.len());
    if std::env::var_os("PROVE_SEEN").is_some() {
        seen.iter().for_each(|kind| println!("  {kind}"));
    }
    let Some(story) = failure else { return Ok(ExitCode::SUCCESS) };
    println!("{story}");
    Ok(ExitCode::FAILURE)
}
