//! Reads what the author of a Spin application and its operator write: the manifest, its variables, routes and
//! allow-lists, and the runtime configuration.
//!
//! This crate is apart from the host so that it can be tested and fuzzed without a WebAssembly engine. It reads these
//! two files and opens nothing else. It decides what each component is granted; the host enforces the decision.
#![warn(missing_docs)]

pub mod allowed_hosts;
pub mod manifest;
pub mod routes;
pub mod runtime_config;
pub mod variables;
