//! The `host` binary: runs an application. If it can't, it prints one line on standard error and fails.

use std::process::ExitCode;

use clap::Parser as _;
use host::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(host::server::run(options));
    // Don't wait for blocking threads: one of them may still wait for a database.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Prints the error and its causes on one line, even if their texts have several.
fn failed(error: &anyhow::Error) -> ExitCode {
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("host: {line}");
    ExitCode::FAILURE
}
