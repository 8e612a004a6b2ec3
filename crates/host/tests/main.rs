//! Tests of the host from outside. They run the real binary with small components, a real Redis and real databases.
//!
//! - `http`: requests and responses, the options that protect the host, instances, shutdown
//! - `grants`: what a component may and may not do
//! - `services`: Redis, key-value, SQLite and PostgreSQL, as a guest sees them
//! - `trigger`: Redis channels
//! - `start`: errors at start, and the cache of compiled components
//! - `support`: a folder, servers and a host for each test

#![allow(clippy::unwrap_used, reason = "a test fails where something is missing")]

mod grants;
mod http;
mod services;
mod start;
mod support;
mod trigger;
