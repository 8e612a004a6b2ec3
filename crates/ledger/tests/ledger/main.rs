//! The order database, on SQLite and on PostgreSQL alike. Each test has a database of its own.
//!
//! - `applying`: events into orders and payments: moves, repeats, order, gaps.
//! - `setting_aside`: events that can't be applied, and how the others go on.
//! - `constraints`: rows that no event made are refused.
//! - `migrating`: how the tables come to be, also with many starting at once.
//! - `personal`: contact, address and note are in one table only, and are erased there and in Redis.
//! - `reading`: what the database tells.
//! - `refunding`: money to give back, money that matches nothing, and claims.
//! - `copying`: from a real Redis, by the engine's own scripts.
//! - `rebuilding`: a lane that Redis lost, or that came back from an old copy, is rebuilt; and audits.
//! - `trouble`: the database locked, full, or gone.

#![allow(clippy::unwrap_used, reason = "tests: the rule exempts test functions, but not what they share")]

mod support;

mod applying;
mod constraints;
mod copying;
mod migrating;
mod personal;
mod reading;
mod rebuilding;
mod refunding;
mod setting_aside;
mod trouble;
