//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Parser, ValueEnum};

/// Runs a Spin application: WebAssembly components behind HTTP routes and Redis channels.
#[derive(Clone, Debug, Parser)]
#[command(name = "host", version)]
pub struct Options {
    /// The application's manifest, or a folder with a `spin.toml` in it
    #[arg(long, short = 'f', default_value = "spin.toml", value_name = "FILE")]
    pub from: PathBuf,
    /// Where to serve HTTP; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Folder for the default databases and the cache [default: `.spin` beside the manifest]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Sets an application variable; overrides the file and the environment (SPIN_VARIABLE_<NAME>)
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub variable: Vec<(String, String)>,
    /// A TOML file of application variables, with a `name = "value"` on each line
    #[arg(long, value_name = "FILE")]
    pub variables_file: Option<PathBuf>,
    /// A file in the format of Spin's runtime configuration, for key-value stores and SQLite databases
    #[arg(long, value_name = "FILE")]
    pub runtime_config: Option<PathBuf>,
    /// Kinds of trigger to run
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http,redis")]
    pub triggers: Vec<TriggerKind>,
    /// Folder for compiled components [default: `cache` in the state directory]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Sizes, timeouts and numbers that the host does not exceed.
    #[command(flatten)]
    pub limits: Limits,
}

/// Sizes, timeouts and numbers that the host does not exceed.
#[derive(Clone, Debug, Parser)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Largest request body; a larger one gets status 413
    #[arg(long, default_value_t = 1024 * 1024, value_name = "BYTES")]
    pub max_body_bytes: usize,
    /// Memory for all request bodies that arrive or wait to be read by a component; beyond it requests get status 503
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES")]
    pub max_buffered_bytes: usize,
    /// How long a client may take to send a request's head, and then its body (408)
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub read_timeout: Duration,
    /// How long a component may take for a response (503) or a message
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// Requests in work at once; beyond it requests get status 503
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub max_concurrency: usize,
    /// Open client connections at once; beyond it new ones wait, and idle ones are closed after two seconds
    #[arg(long, default_value_t = 8192, value_name = "N")]
    pub max_connections: usize,
    /// Requests that one instance serves in its lifetime
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub max_instance_reuse_count: usize,
    /// Requests that one instance serves at once
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub max_instance_concurrent_reuse_count: usize,
    /// How long an instance waits for its next request
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub idle_instance_timeout: Duration,
    /// Memory of one instance
    #[arg(long, default_value_t = 128 * 1024 * 1024, value_name = "BYTES")]
    pub max_instance_memory: usize,
    /// How long running requests may go on after SIGTERM or SIGINT
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How long one Redis command may take
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub redis_timeout: Duration,
    /// Connections to each Redis server, shared by all instances; one carries most, because it batches best
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub redis_connections: usize,
    /// How instances get their memory: from a pool made at start, or on demand
    #[arg(long, value_enum, default_value = "pool")]
    pub allocator: Allocator,
}

/// A kind of trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TriggerKind {
    /// HTTP routes.
    Http,
    /// Redis channels.
    Redis,
}

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allocator {
    /// The address space is reserved at start, so a new instance is cheap.
    Pool,
    /// Memory is mapped for each instance. This needs no reservation, which not every machine allows.
    OnDemand,
}

impl Options {
    /// The manifest file.
    pub fn manifest(&self) -> PathBuf {
        if self.from.is_dir() { self.from.join("spin.toml") } else { self.from.clone() }
    }
}

fn assignment(text: &str) -> Result<(String, String)> {
    // The error does not repeat the text, which may be a secret.
    let (name, value) = text.split_once('=').ok_or_else(|| anyhow!("must be name=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads `250ms`, `30s`, `5m` or a number of seconds.
pub fn duration(text: &str) -> Result<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let number: f64 =
        number.parse().map_err(|_| anyhow!("`{text}` is not a time such as 250ms, 30s or 5m"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        _ => return Err(anyhow!("`{text}` is not a time such as 250ms, 30s or 5m")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| anyhow!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["host"]);
        assert_eq!(options.triggers, [TriggerKind::Http, TriggerKind::Redis]);
        assert_eq!(options.limits.max_instance_reuse_count, 128);
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(duration("3").unwrap(), Duration::from_secs(3));
        for wrong in ["", "s", "3h", "1.2.3s", "-1s", "99999999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_error_of_a_broken_assignment_does_not_repeat_it() {
        assert!(!assignment("hush").unwrap_err().to_string().contains("hush"));
        assert_eq!(assignment("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }
}
