//! A private Stampede for every test: its own redis-server, its own host, its own folders, ports that nobody
//! else uses, a seller who knows the operator's token and as many shoppers as a test wants.
//!
//! Everything goes through the real components and the public HTTP API. What a test must see that no API shows
//! (a row in the order database, a key in Redis), it reads where it really is.
//!
//! A world that is dropped by a failing test prints the logs of its servers. Nothing here skips: a missing
//! program or artefact fails the test and names the command that brings it.

// A test has nobody to hand an error to: a panic is a failed test, and prints its world.
#![allow(clippy::unwrap_used)]

mod artefacts;
mod challenge;
mod client;
mod contract;
mod crowd;
mod database;
mod host;
mod outsider;
/// A PostgreSQL server of a test's own: the one that the order database's own tests start.
#[path = "../../crates/ledger/tests/ledger/support/postgres.rs"]
mod postgres;
mod process;
mod proxy;
mod redis_server;
mod seller;
mod shopper;
mod wait;
mod wire;
mod world;

pub use artefacts::{checkout, program, screenshots};
pub use challenge::{id_of_challenge, read_picture};
pub use client::{Answer, Client, Request};
pub use contract::Contract;
pub use crowd::{crowd, meanwhile};
pub use database::{DatabaseLock, OrderRow, empty_key_value, lock_database, orders_in, values_in_store};
pub use host::Host;
pub use outsider::{Outsider, Question, Reply};
pub use postgres::Postgres;
pub use process::{Process, free_port};
pub use proxy::{Proxy, Weather};
pub use redis_server::RedisServer;
pub use seller::{Counters, Item, ItemTerms, Seller, timestamp_in};
pub use shopper::{Shopper, solve_proof_of_work, zero_bits};
pub use wait::eventually;
pub use wire::{Wire, WireAnswer};
pub use world::{World, WorldBuilder};
