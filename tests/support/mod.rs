//! A private Stampede for every test: its own redis-server, its own host, its own folders, ports that nobody
//! else uses, a seller who knows the operator's token and as many shoppers as a test wants.
//!
//! Everything goes through the real components and the public HTTP API. A test reads what no API shows (a row in the
//! order database, a key in Redis) from where it is.
//!
//! Servers, ports and waiting come from the crate `testkit`; most tests begin with [`World::selling`].
//!
//! A world that is dropped by a failing test prints the logs of its servers. Nothing here skips: a missing
//! program or artefact fails the test and names the command that brings it.

// A panic is a failed test, and prints its world.
#![allow(clippy::unwrap_used)]

mod artefacts;
mod challenge;
mod client;
mod contract;
mod crowd;
mod database;
mod host;
mod outsider;
mod proxy;
mod seller;
mod shopper;
mod webhook;
mod wire;
mod world;

pub use artefacts::{checkout, screenshots};
pub use challenge::read_picture;
pub use client::{Client, Request, Response};
pub use contract::Contract;
pub use crowd::{crowd, meanwhile};
pub use database::{
    BrokenStore, DatabaseLock, OrderRow, add_personal_data, bytes_in, empty_key_value, lock_database,
    orders_in, rows_in, values_in_store,
};
pub use host::Host;
pub use outsider::{Outsider, Question, Reply};
pub use proxy::{Proxy, Weather};
pub use seller::{Counters, Item, ItemTerms, Seller, timestamp_in};
pub use shopper::{Shopper, solve_proof_of_work, zero_bits};
pub use testkit::{AppendOnly, Postgres, Process, RedisServer, Signal, eventually, free_port, program};
pub use webhook::webhook;
pub use wire::{Wire, WireResponse};
pub use world::{World, WorldBuilder};
