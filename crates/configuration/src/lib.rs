//! What the author of a Spin application and its operator write, as data: the manifest, its variables, routes and
//! allow-lists, and the runtime configuration.
//!
//! Apart from the host so that it can be tested and fuzzed without a WebAssembly engine. It reads two kinds of files and
//! opens nothing else; what is granted to whom is decided here, and enforced by the host.
#![warn(missing_docs)]

pub mod allowed_hosts;
pub mod manifest;
pub mod routes;
pub mod runtime_config;
pub mod variables;
