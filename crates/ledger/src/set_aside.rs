//! Events that could not be applied. They are set aside with their error and shown to the operator.
//!
//! Once the cause is mended, the operator applies them after all ([`retry`]). An event whose matter is settled in
//! another way, the operator dismisses ([`dismiss`]).

use crate::apply::Entry;
use crate::sql::{Dialect, Row, Sql, SqlError, Value, lane_parameters};
use sale::ids::Lane;
use sale::time::Timestamp;
use serde::Serialize;

/// An event that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    pub item_id: String,
    pub lane: i64,
    /// The entry of the outbox stream, or `missing-<seq>`.
    pub stream_id: String,
    /// Its number in the lane. Where the event's own number could not be read, its neighbours give it.
    pub seq: i64,
    /// The event's order, if it could be read. Later events of that order are set aside too.
    pub order_id: Option<String>,
    /// The event as it came.
    pub event: String,
    pub error: String,
    pub set_aside_at: Timestamp,
}

/// The result of trying again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    pub applied: usize,
    pub refused: usize,
}

/// Events that are still set aside: neither applied nor dismissed. The oldest comes first.
pub async fn list(sql: &impl Sql, page_size: u32, offset: u32) -> Result<Vec<SetAside>, SqlError> {
    open_events(sql, "at, item_id, lane, seq, stream_id", page_size, offset).await
}

/// The number of events that are still set aside: neither applied nor dismissed.
pub async fn count(sql: &impl Sql) -> Result<u64, SqlError> {
    crate::sql::count(sql, &format!("FROM set_aside WHERE {OPEN}"), &[]).await
}

/// Tries up to `most` events again, the events of one order in sequence.
///
/// An event that is refused again stays as it was. To go on behind such events, pass their number as `skip`.
pub async fn retry(sql: &impl Sql, most: u32, skip: u32) -> Result<Retried, SqlError> {
    let mut retried = Retried::default();
    for event in open_events(sql, "item_id, lane, seq, stream_id", most, skip).await? {
        let key = [event.item_id.into(), event.lane.into(), event.stream_id.into()];
        match close(sql, "applied_at", key).await {
            Ok(was_open) => retried.applied += usize::from(was_open),
            Err(SqlError::Refused(_)) => retried.refused += 1,
            Err(other) => return Err(other),
        }
    }
    Ok(retried)
}

/// Declares an event's matter settled without the event. Later events of its order can then be applied.
///
/// Returns whether the event was still set aside. This is an operator's decision: the engine has sent the event again
/// under another number, or the entry never was an event.
pub async fn dismiss(sql: &impl Sql, lane: &Lane, stream_id: &str) -> Result<bool, SqlError> {
    let [item, number] = lane_parameters(lane);
    close(sql, "dismissed_at", [item, number, stream_id.into()]).await
}

/// Gives up waiting for missing events up to number `seq`, so that later events of the lane are written.
///
/// Returns how many events were passed over. This is an operator's decision, after Redis or the database came back from
/// an old copy.
pub async fn pass_over(sql: &impl Sql, lane: &Lane, seq: i64) -> Result<u64, SqlError> {
    let mut passed = 0;
    let mut next = crate::read::written(sql, lane).await? + 1;
    while next <= seq {
        let entry = Entry { id: format!("missing-{next}"), event: String::new() };
        if insert(sql, lane, &entry, next, None, "it never came, and was passed over").await? {
            passed += 1;
        }
        next += 1;
    }
    Ok(passed)
}

/// Sets an entry aside. Returns false if it was set aside before.
pub(crate) async fn insert(
    sql: &impl Sql,
    lane: &Lane,
    entry: &Entry,
    seq: i64,
    order_id: Option<&str>,
    error: &str,
) -> Result<bool, SqlError> {
    let statement = format!(
        "INSERT INTO set_aside (item_id, lane, stream_id, seq, order_id, payload, error, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, {}) \
         ON CONFLICT (item_id, lane, stream_id) DO NOTHING RETURNING seq",
        now(sql.dialect())
    );
    let parameters = [
        storable(lane.item.as_str()),
        i64::from(lane.number).into(),
        storable(&entry.id),
        seq.into(),
        order_id.map_or(Value::Null, storable),
        storable(&entry.event),
        storable(error),
    ];
    Ok(!sql.execute(&statement, &parameters).await?.is_empty())
}

/// The condition for events that are still set aside.
const OPEN: &str = "applied_at IS NULL AND dismissed_at IS NULL";

/// One page of the events that are still set aside, sorted by the columns `order_by`.
async fn open_events(
    sql: &impl Sql,
    order_by: &str,
    page_size: u32,
    offset: u32,
) -> Result<Vec<SetAside>, SqlError> {
    let statement = format!(
        "SELECT item_id, lane, stream_id, seq, order_id, payload, error, at FROM set_aside \
         WHERE {OPEN} ORDER BY {order_by} LIMIT $1 OFFSET $2"
    );
    let rows = sql.execute(&statement, &[i64::from(page_size).into(), i64::from(offset).into()]).await?;
    rows.iter().map(SetAside::read).collect()
}

/// Writes the present moment into `column` of one event, and returns whether the event was still set aside.
///
/// A trigger applies an event whose `applied_at` is written, or refuses the update.
async fn close(sql: &impl Sql, column: &str, key: [Value; 3]) -> Result<bool, SqlError> {
    let statement = format!(
        "UPDATE set_aside SET {column} = {} \
         WHERE item_id = $1 AND lane = $2 AND stream_id = $3 AND {OPEN} RETURNING seq",
        now(sql.dialect())
    );
    Ok(!sql.execute(&statement, &key).await?.is_empty())
}

/// The longest text that is kept, in characters. Every event is shorter; a longer text is no event, and its beginning
/// is enough.
const MAX_CHARACTERS: usize = 65_536;

/// The text as both databases can store it. An entry may hold anything, and PostgreSQL refuses U+0000.
fn storable(text: &str) -> Value {
    text.chars()
        .take(MAX_CHARACTERS)
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect::<String>()
        .into()
}

/// The database's own clock, in milliseconds since 1970.
fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        Dialect::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    }
}

impl SetAside {
    fn read(row: &Row) -> Result<Self, SqlError> {
        Ok(SetAside {
            item_id: row.text(0)?.to_owned(),
            lane: row.integer(1)?,
            stream_id: row.text(2)?.to_owned(),
            seq: row.integer(3)?,
            order_id: row.text_if_any(4)?.map(str::to_owned),
            event: row.text(5)?.to_owned(),
            error: row.text(6)?.to_owned(),
            set_aside_at: Timestamp::from_millis(row.integer(7)?),
        })
    }
}
