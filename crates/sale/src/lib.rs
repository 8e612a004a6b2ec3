//! The domain of Stampede and its engine: scarce items, reservations, orders, and the Redis scripts that move them.
//!
//! This crate performs no I/O of its own. It sees Redis through [`store::Redis`], one method wide, so the same
//! bindings run inside a function (through the Spin SDK) and in a native test (through an ordinary client).
//!
//! Where to look:
//! - [`reservation`], [`order`] and [`payment`]: the states and the only moves between them.
//! - [`scripts`]: one Lua script a step, each beside its typed binding. Every change of state is one of them.
//! - [`holders`]: how to read the filter that lets functions refuse a crowd without Redis.
//! - [`keys`]: the only place that spells a Redis key.

#![allow(clippy::large_enum_variant, reason = "outcomes are read once where they are made, not kept")]

pub mod allowance;
pub mod catalogue;
pub mod change;
pub mod holders;
pub mod ids;
pub mod item;
pub mod keys;
pub mod money;
pub mod order;
pub mod payment;
pub mod publishing;
pub mod reservation;
pub mod rules;
pub mod scripts;
pub mod store;
pub mod time;
pub mod work;

pub use scripts::Engine;
