//! The interfaces of Spin that components import, one file each. All instances share their connections.

pub mod key_value;
pub mod outbound_http;
pub mod postgres;
pub mod redis;
pub mod sqlite;
pub mod variables;

use wasmtime::component::Linker;

use crate::bindings::spin;
use crate::state::{Platform, State};

/// The connections that all components share.
pub struct Services {
    /// Connections to Redis servers, by address.
    pub redis: redis::Servers,
    /// Connections to PostgreSQL servers, by address.
    pub postgres: postgres::Servers,
}

/// Adds WASI and Spin's interfaces to a linker.
///
/// Every component gets all interfaces. As in Spin, the host checks a grant when the guest uses it. So the guest gets the
/// error that the interface defines.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // Rust's standard library uses WASI 0.2, the SDK 0.3.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    spin::key_value::key_value::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::redis::redis::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::sqlite::sqlite::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::postgres::postgres::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::variables::variables::add_to_linker::<_, Platform>(linker, |state| state)
}
