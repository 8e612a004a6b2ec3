//! A lane's outbox into the database.

use crate::apply::{Applied, Entry, apply};
use crate::sql::{Sql, SqlError};
use sale::Engine;
use sale::ids::Lane;
use sale::keys::LEDGER_DOORBELL;
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

    /// Whether an operator should know: events that could not be applied, or wait for one that has not come.
    pub fn is_odd(&self) -> bool {
        self.events.set_aside > 0 || self.events.waiting > 0
    }

    /// Puts a later copy of the same lane to this one.
    fn add(&mut self, later: Copied) {
        self.events.applied += later.events.applied;
        self.events.repeated += later.events.repeated;
        self.events.set_aside += later.events.set_aside;
        self.events.waiting = later.events.waiting;
        self.events.contradicts |= later.events.contradicts;
        self.events.done.extend(later.events.done);
        self.left = later.left;
    }
}

/// Events that [`drain`] copies at a time: enough that a statement's own cost does not count, few enough that a failure
/// costs little.
const BATCH: u32 = 250;

/// Copies all events of `lane`, up to `batches` copies of 250, and rings for the rest.
pub async fn drain<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    batches: u32,
) -> Result<Copied, CopyError> {
    let mut drained = Copied::default();
    for batch in 1..=batches {
        let copied = copy(engine, sql, lane, BATCH).await?;
        let more = copied.more();
        drained.add(copied);
        if !more {
            break;
        }
        if batch == batches {
            let hint = lane.to_string();
            let bell = [LEDGER_DOORBELL.as_bytes(), hint.as_bytes()];
            engine.redis().execute("PUBLISH", &bell).await.map_err(EngineError::from)?;
        }
    }
    Ok(drained)
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
