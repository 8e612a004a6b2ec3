//! The order database: orders, payments and all their events, kept for good.
//!
//! Redis decides and this crate records. [`copy`] reads a lane's outbox and writes each event once, in order. Repeats,
//! restarts and two workers at once change nothing about that.
//!
//! The rules are in the database itself (see `migrations/`). One statement writes an event and applies its effect, and
//! triggers refuse any row that no event made. The crate makes no decision about stock or money.
//!
//! The crate holds no connection. It sees a database through [`Sql`], so the same code runs on SQLite and PostgreSQL, in
//! a function (feature `spin`) and in a native test.
//!
//! Where to look:
//! - [`copy`]: copies a lane's outbox into the database; [`apply`] writes events at hand.
//! - [`set_aside`]: events that could not be applied.
//! - [`read`]: orders, payments and totals; [`recorded`]: the same orders in the engine's types.
//! - [`personal_data`]: contact, address and note of orders, and their erasure.
//! - [`refunds`]: money to give back, and who gives it back.
//! - [`audit`]: compares engine and database row by row.
//! - [`rebuild`]: puts back a lane that Redis lost.
//! - [`migrate`]: makes the tables.

mod apply;
pub mod audit;
mod copy;
pub mod event;
pub mod migrate;
pub mod personal_data;
pub mod read;
pub mod rebuild;
pub mod recorded;
pub mod refunds;
pub mod set_aside;
#[cfg(feature = "spin")]
pub mod spin;
mod sql;

pub use apply::{Applied, Entry, apply};
pub use copy::{Copied, CopyError, copy, copy_success, drain};
pub use sql::{Dialect, Row, Sql, SqlError, Value};
