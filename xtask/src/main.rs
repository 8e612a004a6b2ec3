//! Every task of the project: `cargo xtask <command>`.
//!
//! It builds, starts and checks the project by running cargo and other programs. It does not know how sales work:
//! whatever it does with a sale goes through the public HTTP API.
//!
//! It needs only a Rust toolchain. It installs other programs that a command needs, if it may. Otherwise it names the
//! command that installs them.

mod bench;
mod check;
mod compile;
mod console;
mod customer;
mod interrupt;
mod pages;
mod prerequisites;
mod prove;
mod redis;
mod runtime;
mod secrets;
mod seed;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  up      Build everything and start Stampede on this machine, with a demo sale.
          --listen HOST:PORT     address to serve on                     [127.0.0.1:3000]
          --data DIR             folder for the data of this run         [.stampede]
          --redis URL            use this Redis instead of a private one
          --set NAME=VALUE       set a variable of spin.toml; may be repeated
          --runtime host|spin    runtime for the components              [host]
          --empty                start without the demo sale
  test    Run every test, or those whose name contains a filter.
          [FILTER]
  bench   Measure, compare with the budgets, and write a report to target/bench/.
          --seconds N            how long each measurement lasts         [5]
          --connections N        connections of the load generator       [64]
          --only NAME            only the measurements whose name contains this
  bench crowd   Simulate a sale that bots attack, with each defence on and off; see docs/crowd.md.
          --people N --bots N --addresses N --requests N   [1000, 2000, 20, 100000]
          --to-the-end           let bots send all their requests, even after everything is sold
          --only NAME            only the scenarios whose name contains this
  prove   Drive a model of the engine and the real scripts side by side, and compare them after each step.
          --seconds N            how long to go on; 0 replays the one walk of a seed   [60]
          --seed S               where to begin; each walk has the next seed           [by the clock]
  prove --faults N   Run N sales in private shops while programs die and connections break, and check what is left.
          --seed S               seed of the first sale; each has the next             [by the clock]
          --at-once N            how many sales run at a time                          [2]
  check   Formatting and lints of Rust and of the pages, licences and security advisories.
";

fn main() -> ExitCode {
    let interrupt = interrupt::Interrupt::install();
    let outcome = interrupt.and_then(|interrupt| dispatch(&interrupt));
    match outcome {
        Ok(code) => code,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            console::note("Stopped.");
            // A shell reports this code for a program that SIGINT ended.
            ExitCode::from(130)
        }
        Err(error) => {
            console::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(interrupt: &interrupt::Interrupt) -> anyhow::Result<ExitCode> {
    use lexopt::prelude::*;

    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        None | Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "up" => up::run(up::Options::parse(&mut arguments)?, interrupt),
        "test" => test::run(&test::Options::parse(&mut arguments)?, interrupt),
        "bench" => bench::run(&bench::Options::parse(&mut arguments)?, interrupt),
        "prove" => prove::run(&prove::Options::parse(&mut arguments)?, interrupt),
        "check" => check::run(interrupt),
        "help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => anyhow::bail!("there is no command `{unknown}`; `cargo xtask --help` lists them all"),
    }
}
