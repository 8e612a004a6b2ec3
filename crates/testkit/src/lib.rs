//! What native tests start and wait for: a private redis-server, a private PostgreSQL server, child processes that
//! end with their test, free ports, and waiting with a deadline.
//!
//! Every test crate of the workspace uses this one kit. Nothing in it skips: a missing program fails the test, and
//! the failure names the command that installs the program. A panic of the kit is a failed test.

mod connection;
mod postgres;
mod process;
mod programs;
mod redis_server;
mod wait;

#[cfg(feature = "engine")]
pub use connection::Connection;
pub use connection::Listener;
pub use postgres::Postgres;
pub use process::{Process, free_port};
pub use programs::program;
pub use redis_server::{AppendOnly, RedisServer};
/// The signals that [`Process::signal`] sends.
pub use rustix::process::Signal;
pub use wait::{eventually, eventually_blocking};
