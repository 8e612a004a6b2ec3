//! The interfaces of Spin that components import, one file each. All connections live here, shared by all instances.

pub mod key_value;
pub mod outbound_http;
pub mod postgres;
pub mod redis;
pub mod sqlite;
pub mod variables;

use wasmtime::component::Linker;

use crate::bindings::spin;
use crate::state::{Platform, State};

/// What all components share.
pub struct Services {
    /// Connections to Redis servers, by address.
    pub redis: redis::Servers,
    /// Connections to PostgreSQL servers, by address.
    pub postgres: postgres::Servers,
}

/// Adds WASI and Spin's interfaces to a linker.
///
/// Everything is linked for every component; what it may use is decided when it asks, as in Spin, so that a guest
/// gets the error that the interface defines.
pub fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // Rust's standard library speaks WASI 0.2, the SDK 0.3.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    spin::key_value::key_value::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::redis::redis::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::sqlite::sqlite::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::postgres::postgres::add_to_linker::<_, Platform>(linker, |state| state)?;
    spin::variables::variables::add_to_linker::<_, Platform>(linker, |state| state)
}
