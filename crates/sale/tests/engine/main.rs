//! The engine on a real Redis: each script and its binding as the functions call them.
//!
//! - one test per answer of every script: [`reserving`], [`granting`], [`polling`], [`giving_back`],
//!   [`checking_out`], [`paying`], [`lapsing`], [`operating`], [`copying`], [`purging`], [`counting`];
//! - [`tables`]: every state and every event, legal and not, against the domain's one table of moves;
//! - [`crowds`]: thousands at once, and the same thing at once;
//! - [`walks`]: random operations against a simple model in Rust;
//! - [`alarms`]: nothing but Redis's own clock and channels makes everything happen;
//! - [`faults`]: script cache flushed, keys lost;
//! - [`budgets`]: memory.
//!
//! Each test has a redis-server of its own ([`server`]) and an item on it ([`shop`]).

mod alarms;
mod budgets;
mod checking_out;
mod copying;
mod counting;
mod crowds;
mod faults;
mod giving_back;
mod granting;
mod lapsing;
mod operating;
mod paying;
mod polling;
mod purging;
mod reserving;
mod server;
mod shop;
mod tables;
mod walks;
