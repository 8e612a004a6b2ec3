//! Proof by trying: a small model of the engine, and the real scripts, driven side by side.
//!
//! [`model`] says what the engine does, as plainly as it can be said. A seed chooses the [`steps`] of a walk: shoppers,
//! operators, payments, time, duplicates, processes that die between two commands, a Redis that comes back with an old copy
//! or with nothing. Each step is taken by the model and by the scripts on a private redis-server ([`real`] has every call into
//! the engine), and then the whole visible state is compared ([`compare`]). A walk that fails is made short ([`shrink`]) and
//! told as a story ([`story`]).

mod allowances;
pub mod chance;
pub mod compare;
pub mod database;
pub mod defects;
pub mod model;
mod provider;
pub mod real;
mod rebuild;
pub mod redis;
pub mod run;
pub mod shrink;
pub mod steps;
pub mod story;
pub mod walk;
pub mod words;
