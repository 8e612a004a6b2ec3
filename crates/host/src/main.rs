//! The `host` binary: options in, an application running, one line on standard error if it can't.

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
    // A blocking thread may still be waiting for a database: nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line, whatever the causes hold.
fn failed(error: &anyhow::Error) -> ExitCode {
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("host: {line}");
    ExitCode::FAILURE
}
