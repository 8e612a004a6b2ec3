//! A component as the host runs it: everything that the manifest grants it, with all names resolved.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::Engine;

use crate::allowed_hosts::AllowedHosts;
use crate::mounts::Mount;
use crate::platform::Services;
use crate::platform::key_value::Backend;
use crate::platform::sqlite::Database;

/// One `[component.<id>]` of the manifest. All instances of the component share it.
pub struct Component {
    /// The name in the manifest.
    pub id: Arc<str>,
    /// The values that `spin:variables` returns, by name.
    pub variables: HashMap<String, String>,
    /// Environment variables of the guest.
    pub environment: Vec<(String, String)>,
    /// Directories that the guest may read.
    pub mounts: Vec<Mount>,
    /// The addresses that the guest may connect to.
    pub allowed_hosts: AllowedHosts,
    /// The key-value stores that the guest may open, by label.
    pub key_value_stores: HashMap<String, Arc<Backend>>,
    /// The SQLite databases that the guest may open, by name.
    pub sqlite_databases: HashMap<String, Arc<Database>>,
    /// Connections that all components share.
    pub services: Arc<Services>,
    /// The most memory that one instance may have, in bytes.
    pub max_memory: usize,
    /// The engine that the component was compiled for.
    pub engine: Engine,
}
