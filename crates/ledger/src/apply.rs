//! Events into the database: each once, in order, and none stands in the way of the others for ever.
//!
//! Events of a lane are written in runs of consecutive numbers, one statement a run; triggers do the rest. What can
//! happen to an event:
//! - It is **applied**, or it is a **repeat** of one that was, which changes nothing.
//! - It **waits**, because the one before it in its lane has not come. Nothing behind such a gap is written. A gap
//!   closes by itself when the outbox is read again; one that never will is an operator's to pass over
//!   ([`crate::set_aside::pass_over`]).
//! - It is **set aside** with its error, when it is no event or the database refuses it. Its lane goes on. Later
//!   events of the same order are set aside too: what an order is after a missing step is a guess, and no guess is
//!   recorded as fact. [`crate::set_aside::retry`] applies them all, in order, once the cause is mended;
//!   [`crate::set_aside::dismiss`] settles one without applying it.
//!
//! A database in trouble is no reason to set anything aside: then all of it fails, and all of it is tried again.

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
    /// The event, JSON if all is well.
    pub event: String,
}

/// What became of some entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub applied: usize,
    /// Written, or set aside, before.
    pub repeated: usize,
    pub set_aside: usize,
    /// Not written, because an event before them has not come.
    pub waiting: usize,
    /// Whether the engine tells another history than the one that is written: it was restored from an old copy. Nothing from
    /// there on is written; see [`crate::rebuild`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contradicts: bool,
    /// The stream ids of those that the database has, or has set aside: what may leave the outbox.
    #[serde(skip)]
    pub done: Vec<String>,
}

/// The refusal of an event that contradicts one that was written; the migrations have the same words.
const CONTRADICTION: &str = "ledger: another event was written with this number";

/// The refusal of an event whose turn has not come; the migrations have the same words.
const GAP: &str = "ledger: an event before this one is missing";

/// An entry with its place in the lane.
struct Placed<'a> {
    entry: &'a Entry,
    seq: i64,
    event: Result<Event<'a>, Unreadable>,
}

/// Writes `entries` of one lane's outbox, in the order of their numbers, however they come.
pub async fn apply(sql: &impl Sql, lane: &Lane, entries: &[Entry]) -> Result<Applied, SqlError> {
    let entries: Vec<Cow<'_, Entry>> = entries.iter().map(without_nul).collect();
    let placed = place(sql, lane, &entries).await?;
    let mut outcome = Applied::default();
    let mut rest = placed.as_slice();
    // A refused run is halved until the refusal is one event's own.
    let mut longest = usize::MAX;
    while let Some(first) = rest.first() {
        let run = run(rest, longest);
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
                    longest = run.len() / 2;
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
            longest = usize::MAX;
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

/// The first entry alone if it is no event, else with those that follow it number by number.
fn run<'a, 'b>(rest: &'b [Placed<'a>], longest: usize) -> &'b [Placed<'a>] {
    let follows = |pair: &&[Placed<'_>]| {
        pair[0].event.is_ok() && pair[1].event.is_ok() && pair[1].seq == pair[0].seq + 1
    };
    let length = 1 + rest.windows(2).take_while(follows).count();
    &rest[..length.min(longest)]
}

/// PostgreSQL can't store U+0000, which a shopper may well have typed: an order is not lost for a character.
fn without_nul(entry: &Entry) -> Cow<'_, Entry> {
    const NUL: &str = "\\u0000";
    const REPLACEMENT: &str = "\\ufffd";
    if entry.event.contains(NUL) {
        Cow::Owned(Entry { id: entry.id.clone(), event: entry.event.replace(NUL, REPLACEMENT) })
    } else {
        Cow::Borrowed(entry)
    }
}

/// Reads the entries and puts them in order.
async fn place<'a>(
    sql: &impl Sql,
    lane: &Lane,
    entries: &'a [Cow<'_, Entry>],
) -> Result<Vec<Placed<'a>>, SqlError> {
    let mut in_stream: Vec<&Entry> = entries.iter().map(Cow::as_ref).collect();
    // The unstable sort, here and below, because its code is a third of the stable one's; equal keys are repeats.
    in_stream.sort_unstable_by_key(|entry| stream_order(&entry.id));
    let events: Vec<_> = in_stream.iter().map(|entry| Event::parse(lane, &entry.event)).collect();
    let mut seqs: Vec<Option<i64>> = events
        .iter()
        .map(|event| event.as_ref().map_or_else(|unreadable| unreadable.seq, |event| Some(event.seq)))
        .collect();
    // The outbox is filled in the order of the numbers, so a number that can't be read follows from its neighbours.
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

/// Stream ids are two numbers; as text they would not sort.
fn stream_order(id: &str) -> (u64, u64) {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    (millis.parse().unwrap_or(u64::MAX), number.parse().unwrap_or(u64::MAX))
}

/// Inserts a run; answers how many events were new.
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
