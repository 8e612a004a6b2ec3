//! Compiles wasm files to machine code and keeps the results in a cache directory.
//!
//! The name of a cache entry is a digest of the wasm file, the engine's settings and the compiler's version. So no entry
//! is ever stale. An entry is written under another name and then renamed, so two hosts may share a directory.
//!
//! The host trusts the entries, which are native code. The directory must be as private as the host's own binary.

use std::fs;
use std::hash::{Hash as _, Hasher};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::log;

/// A component to load.
#[derive(Clone, Debug)]
pub struct Wasm {
    /// The name in the manifest.
    pub id: String,
    /// The wasm file.
    pub path: PathBuf,
    /// The command that builds the file. The error for a missing file shows it.
    pub build: Option<String>,
}

/// Loads all components. Compiles those that are not in the cache, in parallel.
///
/// # Errors
/// Fails if a file is missing or is not a component.
pub fn load(engine: &Engine, cache: &Path, components: &[Wasm]) -> Result<Vec<Component>> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder.create(cache).with_context(|| format!("can't make the cache directory {}", cache.display()))?;
    // Read all files first, so that a missing one is reported before the others are compiled.
    let sources = components.iter().map(Wasm::read).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = components
            .iter()
            .zip(&sources)
            .map(|(wasm, source)| scope.spawn(move || load_one(engine, cache, wasm, source)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("the compiler panicked")))
            .collect()
    })
}

impl Wasm {
    fn read(&self) -> Result<Vec<u8>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let hint = self
                    .build
                    .as_ref()
                    .map_or_else(String::new, |build| format!(": build it with `{build}`"));
                bail!("component `{}`: {} does not exist{hint}", self.id, self.path.display())
            }
            Err(error) => bail!("component `{}`: can't read {}: {error}", self.id, self.path.display()),
        }
    }
}

fn load_one(engine: &Engine, cache: &Path, wasm: &Wasm, source: &[u8]) -> Result<Component> {
    let entry = cache.join(entry_name(engine, source));
    if entry.exists() {
        // SAFETY: a host with the same engine wrote the entry. The directory is trusted, as the module's comment says.
        match unsafe { Component::deserialize_file(engine, &entry) } {
            Ok(component) => return Ok(component),
            Err(error) => {
                log::warn(Some(&wasm.id), &format!("the cached {} is unusable: {error}", entry.display()));
            }
        }
    }
    let start = Instant::now();
    log::info(Some(&wasm.id), &format!("compiling {}", wasm.path.display()));
    let component = Component::new(engine, source)
        .map_err(|error| anyhow::anyhow!("{error:#}"))
        .with_context(|| format!("component `{}`: {} is not a component", wasm.id, wasm.path.display()))?;
    log::info(Some(&wasm.id), &format!("compiled in {} ms", start.elapsed().as_millis()));
    if let Err(error) = store(&component, cache, &entry) {
        // The component works anyway; only the next start is slow again.
        log::warn(Some(&wasm.id), &format!("can't keep the compiled component: {error:#}"));
    }
    Ok(component)
}

fn entry_name(engine: &Engine, source: &[u8]) -> String {
    // Wasmtime gives its settings only to a `Hasher`, whose result has 64 bits. This one passes the bytes to SHA-256.
    struct Bytes(Sha256);
    impl Hasher for Bytes {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Bytes(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.update(source);
    let digest = hasher.0.finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.cwasm")
}

fn store(component: &Component, cache: &Path, entry: &Path) -> Result<()> {
    let bytes = component.serialize().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(cache)?;
    file.write_all(&bytes)?;
    file.persist(entry)?;
    Ok(())
}
