//! The key-value store, which the instances of one machine share.
//!
//! An instance opens it once and all its requests use that handle. A handle that failed is forgotten, and the next call
//! opens another.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use spin_sdk::key_value::{Error, Store};

use crate::http::problem::Problem;

/// The store gave no answer. The text is for the log.
#[derive(Debug)]
pub(crate) struct NoStore(Error);

impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key-value: {}", self.0)
    }
}

impl From<NoStore> for Problem {
    fn from(error: NoStore) -> Self {
        Problem::unavailable(error)
    }
}

/// The bytes under `key`, if there are any.
pub(crate) async fn get(key: &str) -> Result<Option<Vec<u8>>, NoStore> {
    let store = shared().await?;
    checked(store.get(key).await)
}

/// Puts `bytes` under `key`, in place of what was there.
pub(crate) async fn set(key: &str, bytes: &[u8]) -> Result<(), NoStore> {
    let store = shared().await?;
    checked(store.set(key, bytes).await)
}

/// Deletes what is under `key`, if anything is.
pub(crate) async fn delete(key: &str) -> Result<(), NoStore> {
    let store = shared().await?;
    checked(store.delete(key).await)
}

/// The JSON value under `key`. A store that fails counts as empty: Redis has everything that is cached here.
pub(crate) async fn cached<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&get(key).await.ok()??).ok()
}

/// Caches `value` as JSON under `key`. A failure costs speed only, so nobody is told of it.
pub(crate) async fn cache(key: &str, value: &impl Serialize) {
    if let Ok(bytes) = serde_json::to_vec(value) {
        let _ = set(key, &bytes).await;
    }
}

thread_local! {
    static STORE: RefCell<Option<Rc<Store>>> = const { RefCell::new(None) };
}

async fn shared() -> Result<Rc<Store>, NoStore> {
    if let Some(store) = STORE.with_borrow(Clone::clone) {
        return Ok(store);
    }
    let opened = Rc::new(Store::open_default().await.map_err(NoStore)?);
    // Another request of this instance may have opened one meanwhile; then both use that one from now on.
    Ok(STORE.with_borrow_mut(|shared| shared.get_or_insert(opened).clone()))
}

fn checked<T>(outcome: Result<T, Error>) -> Result<T, NoStore> {
    outcome.map_err(|error| {
        STORE.set(None);
        NoStore(error)
    })
}
