//! Sales under faults. One seed chooses the shape of a sale, what its shoppers do, and which faults come when.
//! A checker then reads Redis, the order database and every shopper's own log of responses.
//!
//! The schedule of choices is the same for the same seed. How the processes interleave is not: a seed that failed
//! once may need several runs to fail again.

// A run has nobody to hand an error to: a panic is a failed run, and prints its world.
#![allow(clippy::unwrap_used)]

mod check;
mod operator;
mod plan;
mod record;
mod run;
mod shopper;
mod trouble;

pub use plan::Plan;
pub use run::{Outcome, run};
