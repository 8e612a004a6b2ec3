//! `spin:key-value`: named stores, each in an SQLite file or on a Redis server.
//!
//! The file has the same layout as Spin's, so that `spin up` and this host can share it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use redis::Cmd;
use rusqlite::OptionalExtension as _;
use tokio::task::spawn_blocking;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::redis::Server;
use crate::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use crate::state::{Platform, State};

/// How long a write waits for a write of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many idle connections to the file stay open.
const IDLE_CONNECTIONS: usize = 8;
/// How many keys one step of a scan over a Redis server visits.
const SCAN_STEP: usize = 1000;

/// A guest's handle on a store.
#[derive(Clone)]
pub struct Store(Arc<Backend>);

/// The place where a store keeps its values.
pub enum Backend {
    /// A table in an SQLite file, which several stores share.
    Sqlite {
        /// The file.
        file: Arc<SqliteFile>,
        /// The store's label, which tells the stores in one file apart.
        name: String,
    },
    /// A Redis server. As in Spin, a key is a Redis key of the same name.
    Redis(Arc<Server>),
}

/// An SQLite file and its idle connections.
pub struct SqliteFile {
    path: std::path::PathBuf,
    idle: Mutex<Vec<rusqlite::Connection>>,
}

impl SqliteFile {
    /// Opens the file, or makes it. A wrong path is an error here, at start.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = Self { path: path.to_owned(), idle: Mutex::default() };
        let connection =
            file.connect().with_context(|| format!("can't open the key-value store {}", path.display()))?;
        file.give_back(connection);
        Ok(file)
    }

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open(&self.path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // With WAL, readers and the writer don't wait for each other. NORMAL may lose the last writes in a power cut, which
        // does not matter, because stores hold caches.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spin_key_value (
               store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key))",
            [],
        )?;
        Ok(connection)
    }

    fn give_back(&self, connection: rusqlite::Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
    }

    /// Runs `work` with a connection, on a thread that may block.
    async fn run<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Error> {
        let file = self.clone();
        let outcome = spawn_blocking(move || {
            let idle = file.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
            let connection = idle.map_or_else(|| file.connect(), Ok)?;
            let outcome = work(&connection);
            file.give_back(connection);
            outcome
        });
        match outcome.await {
            Ok(outcome) => outcome.map_err(|error| Error::Other(error.to_string())),
            Err(error) => Err(Error::Other(error.to_string())),
        }
    }
}

impl Backend {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Sqlite { file, name } => {
                let name = name.clone();
                file.run(move |connection| {
                    connection
                        .prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                        .query_row([name, key], |row| row.get(0))
                        .optional()
                })
                .await
            }
            Self::Redis(server) => run(server, redis::cmd("GET").arg(key)).await,
        }
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Sqlite { file, name } => {
                let name = name.clone();
                file.run(move |connection| {
                    connection
                        .prepare_cached(
                            "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                             ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
                        )?
                        .execute(rusqlite::params![name, key, value])
                        .map(drop)
                })
                .await
            }
            Self::Redis(server) => run(server, redis::cmd("SET").arg(key).arg(value)).await,
        }
    }

    async fn delete(&self, key: String) -> Result<(), Error> {
        match self {
            Self::Sqlite { file, name } => {
                let name = name.clone();
                file.run(move |connection| {
                    connection
                        .prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                        .execute([name, key])
                        .map(drop)
                })
                .await
            }
            Self::Redis(server) => run::<i64>(server, redis::cmd("DEL").arg(key)).await.map(drop),
        }
    }

    async fn exists(&self, key: String) -> Result<bool, Error> {
        match self {
            Self::Sqlite { file, name } => {
                let name = name.clone();
                file.run(move |connection| {
                    connection
                        .prepare_cached("SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                        .exists([name, key])
                })
                .await
            }
            Self::Redis(server) => run(server, redis::cmd("EXISTS").arg(key)).await,
        }
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Sqlite { file, name } => {
                let name = name.clone();
                file.run(move |connection| {
                    connection
                        .prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1")?
                        .query_map([name], |row| row.get(0))?
                        .collect()
                })
                .await
            }
            Self::Redis(server) => {
                // KEYS would block the server for everybody else, so scan in steps.
                let mut keys = Vec::new();
                let mut cursor = 0_u64;
                loop {
                    let mut scan = redis::cmd("SCAN");
                    scan.arg(cursor).arg("COUNT").arg(SCAN_STEP);
                    let (next, step): (u64, Vec<String>) = run(server, &scan).await?;
                    keys.extend(step);
                    cursor = next;
                    if cursor == 0 {
                        break;
                    }
                }
                // A scan may name a key twice.
                keys.sort_unstable();
                keys.dedup();
                Ok(keys)
            }
        }
    }
}

async fn run<R: redis::FromRedisValue>(server: &Server, command: &Cmd) -> Result<R, Error> {
    let value = server.run(command).await.map_err(Error::Other)?;
    redis::from_redis_value(value).map_err(|error| Error::Other(error.to_string()))
}

impl Host for State {}

impl HostStore for State {
    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

fn backend<T: Send>(
    accessor: &Accessor<T, Platform>,
    store: &Resource<Store>,
) -> wasmtime::Result<Arc<Backend>> {
    accessor.with(|mut access| Ok(access.get().table.get(store)?.0.clone()))
}

impl<T: Send> HostStoreWithStore<T> for Platform {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<Store>, Error>> {
        accessor.with(|mut access| {
            let state = access.get();
            // Stores are resolved at start, so a granted store always exists.
            let Some(backend) = state.component.key_value_stores.get(&label) else {
                return Ok(Err(Error::AccessDenied));
            };
            let store = Store(backend.clone());
            Ok(state.table.push(store).map_err(|_| Error::StoreTableFull))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(backend(accessor, &store)?.get(key).await)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(backend(accessor, &store)?.set(key, value).await)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(backend(accessor, &store)?.delete(key).await)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(backend(accessor, &store)?.exists(key).await)
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let (keys, outcome) = match backend(accessor, &store)?.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let outcome = FutureReader::new(&mut access, async move { wasmtime::error::Ok(outcome) })?;
            Ok((keys, outcome))
        })
    }
}
