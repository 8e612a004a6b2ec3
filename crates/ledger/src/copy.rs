//! Copies a lane's outbox into the database.

use crate::apply::{Applied, Entry, apply};
use crate::personal_data;
use crate::sql::{Sql, SqlError};
use sale::Engine;
use sale::ids::{Lane, PaymentId};
use sale::keys::LEDGER_DOORBELL;
use sale::scripts::EngineError;
use sale::store::Redis;
use serde::Serialize;

/// The result of one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    #[serde(flatten)]
    pub events: Applied,
    /// Events still in the outbox, with those that wait for a missing one.
    pub left: u64,
}

/// Why a copy failed. The events stay in the outbox, and copying again writes none of them twice.
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

    /// Whether an operator should know: some events were set aside, or wait for a missing one.
    pub fn is_odd(&self) -> bool {
        self.events.set_aside > 0 || self.events.waiting > 0
    }

    /// Adds the result of a later copy of the same lane.
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

/// Events that [`drain`] copies at a time. So many make a statement's own cost small; a failure still repeats little.
const BATCH: u32 = 250;

/// Copies the events of `lane`, at most `batches` times 250. If events are left, rings the ledger's doorbell for them.
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
            let lane = lane.to_string();
            let doorbell = [LEDGER_DOORBELL.as_bytes(), lane.as_bytes()];
            engine.redis().execute("PUBLISH", &doorbell).await.map_err(EngineError::from)?;
        }
    }
    Ok(drained)
}

/// Whether the database has the money of `payment`. If it lacks it, copies up to `batches` times 250 events first.
///
/// A message that says so to a provider ends its repeats. Redis may still forget the payment then, but the database
/// brings it back.
pub async fn copy_success<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    payment: &PaymentId,
    batches: u32,
) -> Result<bool, CopyError> {
    for _ in 0..batches {
        if has_success(sql, payment).await? {
            return Ok(true);
        }
        if !copy(engine, sql, &payment.order.lane, BATCH).await?.more() {
            break;
        }
    }
    Ok(has_success(sql, payment).await?)
}

/// Whether the money of `payment` is recorded: in the payment's state, or in an event that is set aside.
async fn has_success(sql: &impl Sql, payment: &PaymentId) -> Result<bool, SqlError> {
    let rows = sql
        .execute(
            "SELECT 1 FROM payments WHERE id = $1 AND state IN ('succeeded', 'refund_due', 'refunded') \
             UNION ALL \
             SELECT 1 FROM set_aside WHERE order_id = $2 AND dismissed_at IS NULL AND payload LIKE $3 \
                 AND (payload LIKE '%order.paid%' OR payload LIKE '%.refund_due%') LIMIT 1",
            &[
                payment.to_string().into(),
                payment.order.to_string().into(),
                format!("%\"{payment}\"%").into(),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Copies the oldest events of `lane`, up to `most` (at most 1000), and then removes them from the outbox.
///
/// A worker may die between reading, writing and removing. Events that were not removed are read again, and writing an
/// event again changes nothing.
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
    // Before the events: if this worker dies in between, no order lacks what its shopper wrote.
    personal_data::record(sql, &entries).await?;
    let entries: Vec<Entry> =
        entries.into_iter().map(|entry| Entry { id: entry.id, event: entry.event }).collect();
    let events = apply(sql, lane, &entries).await?;
    let done: Vec<&str> = events.done.iter().map(String::as_str).collect();
    let left = engine.acknowledge(lane, &done).await?;
    Ok(Copied { events, left })
}
