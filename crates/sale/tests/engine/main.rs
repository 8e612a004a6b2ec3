//! The engine on a real Redis: each script and its binding as the functions call them.
//!
//! One test per reply of every script stands in [`reserving`], [`granting`], [`polling`], [`giving_back`],
//! [`checking_out`], [`paying`], [`providing`], [`lapsing`], [`limiting`], [`listing`], [`operating`], [`publishing`], [`repeating`], [`ruling`], [`copying`], [`purging`], [`forgetting`], [`shielding`] and [`counting`].
//! Every state and every event, legal and not, is held against the domain's one table of moves in [`tables`]. Thousands at once, and
//! the same thing at once, are in [`crowds`]; random operations beside a simple model in [`walks`]; what nothing but
//! Redis's own clock and channels must make happen in [`alarms`]; a flushed script cache, lost keys and a full Redis
//! in [`faults`]; memory in [`budgets`].
//!
//! Each test has a redis-server of its own (crate `testkit`) and an item on it ([`shop`]).

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect fails")]

mod alarms;
mod budgets;
mod checking_out;
mod copying;
mod counting;
mod crowds;
mod faults;
mod forgetting;
mod giving_back;
mod granting;
mod lapsing;
mod limiting;
mod listing;
mod operating;
mod paying;
mod polling;
mod providing;
mod publishing;
mod purging;
mod repeating;
mod reserving;
mod ruling;
mod shielding;
mod shop;
mod tables;
mod walks;
