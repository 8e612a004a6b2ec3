//! The host's behaviour, seen from outside: the real binary with small real components, real Redis, real databases.
//!
//! - `http`: requests and answers, limits, instances, shutdown
//! - `grants`: what a component may not do
//! - `services`: Redis, key-value, SQLite and PostgreSQL through the guest's eyes
//! - `trigger`: Redis channels
//! - `start`: what keeps the host from starting, and the cache
//! - `support`: a private world for each test

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod grants;
mod http;
mod services;
mod start;
mod support;
mod trigger;
