//! Writes events into the database: each once, and in order. A bad event does not block the others.
//!
//! One statement writes a run of events with consecutive numbers, and triggers apply them to orders and payments. There
//! are four results for an event:
//! - It is **applied**.
//! - It is a **repeat** of an applied event, and changes nothing.
//! - It **waits**, because the event before it in its lane is missing. Nothing behind the gap is written. Reading the
//!   outbox again usually closes the gap. Otherwise an operator passes over it ([`crate::set_aside::pass_over`]).
//! - It is **set aside** with its error, because it is no event or the database refuses it. Its lane goes on.
//!
//! After an event is set aside, so are later events of the same order. The state of an order after a missing step would
//! be a guess, and this crate records facts only. Once the cause is mended, [`crate::set_aside::retry`] applies them all
//! in order. [`crate::set_aside::dismiss`] settles one without applying it.
//!
//! While the database is in trouble nothing is set aside: the whole call fails, and the caller tries again later.

use crate::event::{Event, Unreadable};
use crate::set_aside;
use crate::sql::{Dialect, Sql, SqlError};
use sale::ids::Lane;
use serde::Serialize;
use std::borrow::Cow;

/// An entry of an outbox stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stream's id, `<ms>-<n>`.
    pub id: String,
    /// The event as text; JSON, unless something is wrong with it.
    pub event: String,
}

/// The result of writing some entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub applied: usize,
    /// Events that were written or set aside before.
    pub repeated: usize,
    pub set_aside: usize,
    /// Events that were not written, because an event before them is missing.
    pub waiting: usize,
    /// Whether an event contradicts a written one of the same number: Redis came back from an old copy. That event and
    /// all later ones are not written; see [`crate::rebuild`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contradicts: bool,
    /// The stream ids of the entries that are written or set aside. They may leave the outbox.
    #[serde(skip)]
    pub done: Vec<String>,
}

/// The database's refusal of an event that contradicts a written one. The migrations have the same words.
const CONTRADICTION: &str = "ledger: another event was written with this number";

/// The database's refusal of an event while an earlier one is missing. The migrations have the same words.
const GAP: &str = "ledger: an event before this one is missing";

/// An entry with its number in the lane.
struct Placed<'a> {
    entry: &'a Entry,
    seq: i64,
    event: Result<Event<'a>, Unreadable>,
}

/// Writes `entries` of one lane's outbox by their numbers; they may come in any order.
pub async fn apply(sql: &impl Sql, lane: &Lane, entries: &[Entry]) -> Result<Applied, SqlError> {
    let entries: Vec<Cow<'_, Entry>> = entries.iter().map(without_nul).collect();
    let placed = place(sql, lane, &entries).await?;
    let mut outcome = Applied::default();
    let mut rest = placed.as_slice();
    // A refused run is halved until a single event is refused.
    let mut max_run = usize::MAX;
    while let Some(first) = rest.first() {
        let run = run(rest, max_run);
        let refusal = match &first.event {
            Ok(_) => match insert(sql, run).await {
                Ok(written) => {
                    outcome.applied += written;
                    outcome.repeated += run.len() - written;
                    None
                }
                Err(SqlError::Refused(reason)) if reason.contains(GAP) => {
                    outcome.waiting = rest.len();
                    break;
                }
                Err(SqlError::Refused(reason)) if run.len() == 1 && reason.contains(CONTRADICTION) => {
                    outcome.contradicts = true;
                    outcome.waiting = rest.len();
                    break;
                }
                Err(SqlError::Refused(_)) if run.len() > 1 => {
                    max_run = run.len() / 2;
                    continue;
                }
                Err(SqlError::Refused(reason)) => Some((reason, first.order_id())),
                Err(other) => return Err(other),
            },
            Err(unreadable) => Some((unreadable.error.clone(), unreadable.order_id.as_deref())),
        };
        if let Some((reason, order_id)) = refusal {
            match set_aside::insert(sql, lane, first.entry, first.seq, order_id, &reason).await {
                Ok(true) => outcome.set_aside += 1,
                Ok(false) => outcome.repeated += 1,
                Err(SqlError::Refused(reason)) if reason.contains(GAP) => {
                    outcome.waiting = rest.len();
                    break;
                }
                Err(other) => return Err(other),
            }
            max_run = usize::MAX;
        }
        outcome.done.extend(run.iter().map(|placed| placed.entry.id.clone()));
        rest = &rest[run.len()..];
    }
    Ok(outcome)
}

impl Placed<'_> {
    fn order_id(&self) -> Option<&str> {
        self.event.as_ref().ok()?.order_id.as_deref()
    }
}

/// The first entry with all that follow it by consecutive numbers, at most `max_run`. A text that is no event is alone.
fn run<'a, 'b>(rest: &'b [Placed<'a>], max_run: usize) -> &'b [Placed<'a>] {
    let follows = |pair: &&[Placed<'_>]| {
        pair[0].event.is_ok() && pair[1].event.is_ok() && pair[1].seq == pair[0].seq + 1
    };
    let length = 1 + rest.windows(2).take_while(follows).count();
    &rest[..length.min(max_run)]
}

/// Replaces U+0000, which PostgreSQL can't store. A shopper may have typed it, and the order must still be recorded.
fn without_nul(entry: &Entry) -> Cow<'_, Entry> {
    const NUL: &str = "\\u0000";
    const REPLACEMENT: &str = "\\ufffd";
    if entry.event.contains(NUL) {
        Cow::Owned(Entry { id: entry.id.clone(), event: entry.event.replace(NUL, REPLACEMENT) })
    } else {
        Cow::Borrowed(entry)
    }
}

/// Parses the entries and sorts them by their numbers in the lane.
async fn place<'a>(
    sql: &impl Sql,
    lane: &Lane,
    entries: &'a [Cow<'_, Entry>],
) -> Result<Vec<Placed<'a>>, SqlError> {
    let mut in_stream: Vec<&Entry> = entries.iter().map(Cow::as_ref).collect();
    // The unstable sorts here compile to a third of the stable sort's code. Entries with equal keys are repeats.
    in_stream.sort_unstable_by_key(|entry| stream_order(&entry.id));
    let events: Vec<_> = in_stream.iter().map(|entry| Event::parse(lane, &entry.event)).collect();
    let mut seqs: Vec<Option<i64>> = events
        .iter()
        .map(|event| event.as_ref().map_or_else(|unreadable| unreadable.seq, |event| Some(event.seq)))
        .collect();
    // The engine fills the outbox by number, so the neighbours give a number that can't be read.
    for at in (0..seqs.len().saturating_sub(1)).rev() {
        seqs[at] = seqs[at].or(seqs[at + 1].map(|next| next - 1));
    }
    if let Some(None) = seqs.first() {
        seqs[0] = Some(crate::read::written(sql, lane).await? + 1);
    }
    for at in 1..seqs.len() {
        seqs[at] = seqs[at].or(seqs[at - 1].map(|previous| previous + 1));
    }
    let mut placed: Vec<Placed<'a>> = in_stream
        .into_iter()
        .zip(events)
        .zip(seqs)
        .map(|((entry, event), seq)| Placed { entry, event, seq: seq.unwrap_or(1).max(1) })
        .collect();
    placed.sort_unstable_by_key(|placed| placed.seq);
    Ok(placed)
}

/// A sort key for stream ids. They are two numbers, which do not sort as text.
fn stream_order(id: &str) -> (u64, u64) {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    (millis.parse().unwrap_or(u64::MAX), number.parse().unwrap_or(u64::MAX))
}

/// Inserts a run. Returns how many of its events were new.
async fn insert(sql: &impl Sql, run: &[Placed<'_>]) -> Result<usize, SqlError> {
    let payloads: Vec<&str> =
        run.iter().filter_map(|placed| Some(placed.event.as_ref().ok()?.payload)).collect();
    let payloads =
        serde_json::to_string(&payloads).map_err(|error| SqlError::Misunderstood(error.to_string()))?;
    let statement = match sql.dialect() {
        Dialect::Sqlite => {
            "INSERT INTO events (item_id, lane, seq, type, order_id, at, payload) \
             SELECT value ->> '$.item_id', value ->> '$.lane', value ->> '$.seq', value ->> '$.type', \
                 value ->> '$.order_id', value ->> '$.at', value \
             FROM json_each($1) ORDER BY key RETURNING seq"
        }
        Dialect::Postgres => {
            "INSERT INTO events (item_id, lane, seq, type, order_id, at, payload) \
             SELECT event ->> 'item_id', (event ->> 'lane')::bigint, (event ->> 'seq')::bigint, event ->> 'type', \
                 event ->> 'order_id', (event ->> 'at')::bigint, payload \
             FROM (SELECT payload, payload::jsonb AS event, place \
                 FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS given (payload, place)) AS read \
             ORDER BY place RETURNING seq"
        }
    };
    Ok(sql.execute(statement, &[payloads.into()]).await?.len())
}
