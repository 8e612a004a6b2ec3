//! The order database: orders, payments and every event of them, for good.
//!
//! Redis decides and this crate records: [`copy`] takes events out of a lane's outbox and writes each once, in order,
//! whatever is repeated, restarted or done by two workers at once. The rules are in the database itself (see
//! `migrations/`): an event and its effect are one statement, and a row that no event made is refused. The crate makes
//! no decision about stock or money, and holds no connection: it sees a database through [`Sql`], one method wide, so
//! the same code runs on SQLite and PostgreSQL, in a function (feature `spin`) and in a native test.
//!
//! Where to look:
//! - [`copy`]: a lane's outbox into the database; [`apply`]: the same for events at hand.
//! - [`read`]: orders, payments and totals; [`whole`]: orders as the engine has them, and what lanes offer; [`set_aside`]: events that could not be applied.
//! - [`audit`]: whether engine and database agree, row by row; [`rebuild`]: a lane that Redis lost, made anew.
//! - [`migrate`]: how the tables come to be.

mod apply;
pub mod audit;
mod copy;
pub mod event;
pub mod migrate;
pub mod read;
pub mod rebuild;
pub mod set_aside;
#[cfg(feature = "spin")]
pub mod spin;
mod sql;
pub mod whole;

pub use apply::{Applied, Entry, apply};
pub use copy::{Copied, CopyError, copy, drain};
pub use sql::{Dialect, Row, Sql, SqlError, Value};
