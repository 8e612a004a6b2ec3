//! A component as the host runs it: what it may see and touch, with every name resolved.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::Engine;

use crate::allowed_hosts::AllowedHosts;
use crate::mounts::Mount;
use crate::platform::Services;
use crate::platform::key_value::Backend;
use crate::platform::sqlite::Database;

/// One entry of the manifest's `[component]`, shared by all its instances.
pub struct Component {
    /// Its name in the manifest.
    pub id: Arc<str>,
    /// What `spin:variables` answers.
    pub variables: HashMap<String, String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Directories that it may read.
    pub mounts: Vec<Mount>,
    /// Where it may connect to.
    pub allowed_hosts: AllowedHosts,
    /// The stores that it may open, by label.
    pub key_value_stores: HashMap<String, Arc<Backend>>,
    /// The databases that it may open, by name.
    pub sqlite_databases: HashMap<String, Arc<Database>>,
    /// Connections that all components share.
    pub services: Arc<Services>,
    /// Bytes of memory that one instance may have.
    pub max_memory: usize,
    /// What it was compiled for.
    pub engine: Engine,
}

impl Component {
    /// What it was compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
