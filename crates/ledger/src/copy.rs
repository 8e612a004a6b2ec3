//! A lane's outbox into the database.

use crate::apply::{Applied, Entry, apply};
use crate::sql::{Sql, SqlError};
use sale::Engine;
use sale::ids::Lane;
use sale::scripts::EngineError;
use sale::store::Redis;
use serde::Serialize;

/// What one copy came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    #[serde(flatten)]
    pub events: Applied,
    /// Events still in the outbox, those that wait for a missing one included.
    pub left: u64,
}

/// Why the outbox was not copied, or not taken out of. It stays, and copying again repeats nothing.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Copied {
    /// Whether copying again at once would find work.
    pub fn more(&self) -> bool {
        self.left > 0 && !self.events.done.is_empty()
    }

    pub fn is_nothing(&self) -> bool {
        self.events.done.is_empty() && self.events.waiting == 0
    }
}

/// Copies the oldest events of `lane`, up to `most` (at most 1000), and then takes them out of the outbox.
///
/// Reading, writing and taking out are three steps, and a worker may die between any two: what was read and not taken
/// out is read again, and what was written is a repeat.
pub async fn copy<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    most: u32,
) -> Result<Copied, CopyError> {
    let entries = engine.read_outbox(lane, most).await?;
    if entries.is_empty() {
        return Ok(Copied::default());
    }
    let entries: Vec<Entry> =
        entries.into_iter().map(|entry| Entry { id: entry.id, event: entry.event }).collect();
    let events = apply(sql, lane, &entries).await?;
    let done: Vec<&str> = events.done.iter().map(String::as_str).collect();
    let left = engine.acknowledge(lane, &done).await?;
    Ok(Copied { events, left })
}
