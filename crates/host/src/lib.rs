//! The host: a small runtime for Spin applications on Wasmtime.
//!
//! It reads the same `spin.toml` as `spin up`, takes variables and runtime configuration in the same shape, and runs the
//! same components behind HTTP routes and Redis channels. It knows nothing about what they do.
//!
//! # What it serves
//! WASI 0.2 and 0.3 as Rust's standard library and `spin-sdk` 7 import them, `wasi:http@0.3.0` in both directions, and
//! `spin:redis@3.0.0`, `spin:key-value@3.0.0`, `spin:sqlite@3.1.0`, `spin:postgres@4.2.0`, `spin:variables@3.0.0`.
//!
//! # What it refuses
//! - A field of the manifest or of the runtime configuration that it does not know or does not serve.
//! - A connection to a host, a store or a database that the manifest does not grant, with the error that the interface
//!   defines; and any socket of the guest's own.
//! - Writing to mounted files, and reading anything else.
//! - Larger bodies, slower clients and more load than its limits, with a problem document (RFC 9457) each.
//! - `wasi:http@0.2` components, WebAssembly modules that are no components, components from the network, composed
//!   dependencies, requests between components, TLS on its own sockets and to Redis and PostgreSQL.
#![warn(missing_docs)]

pub mod application;
#[allow(missing_docs, reason = "generated code")]
pub mod bindings;
pub mod compile;
pub mod component;
pub mod connection;
pub mod engine;
pub mod http;
pub mod instances;
pub mod log;
pub mod mounts;
pub mod options;
pub mod platform;
pub mod problem;
pub mod redis_trigger;
pub mod server;
pub mod state;

pub use configuration::{allowed_hosts, manifest, routes, runtime_config, variables};
