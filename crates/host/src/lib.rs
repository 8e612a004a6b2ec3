//! The host: a small runtime for Spin applications on Wasmtime.
//!
//! It reads the same `spin.toml`, variables and runtime configuration as `spin up`, and runs the same components behind
//! HTTP routes and Redis channels. It does not know what the components do.
//!
//! # Supported interfaces
//! WASI 0.2 and 0.3 as Rust's standard library and `spin-sdk` 7 import them, `wasi:http@0.3.0` in both directions, and
//! `spin:redis@3.0.0`, `spin:key-value@3.0.0`, `spin:sqlite@3.1.0`, `spin:postgres@4.2.0`, `spin:variables@3.0.0`.
//!
//! # What it refuses
//! - A field of the manifest or of the runtime configuration that it does not know or does not support.
//! - A connection to a host, a store or a database that the manifest does not grant, with the error that the interface
//!   defines. A guest can't open sockets at all.
//! - Writing to mounted files, and reading any other file.
//! - Larger bodies, slower clients and more load than its options allow. The response is a problem document (RFC 9457).
//!
//! # What it does not support
//! - `wasi:http@0.2` components, and WebAssembly modules that are not components.
//! - Components from the network, composed dependencies, and requests from one component to another.
//! - TLS on its own sockets, and TLS to Redis and PostgreSQL.
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
