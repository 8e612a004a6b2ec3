//! Events that could not be applied: set aside with their error, shown to the operator, and either applied after all
//! once the cause is mended, or dismissed once the matter is settled otherwise.

use crate::apply::Entry;
use crate::sql::{Dialect, Row, Sql, SqlError, Value};
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
    /// Its place in the lane; where the event did not tell, by its neighbours.
    pub seq: i64,
    /// The order whose later events are set aside too, if it could be read.
    pub order_id: Option<String>,
    /// The event as it came. May hold a shopper's address.
    pub event: String,
    pub error: String,
    pub set_aside_at: Timestamp,
}

/// What trying again came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    pub applied: usize,
    pub refused: usize,
}

/// No event is longer; a longer text is no event, and is kept in part.
const LONGEST: usize = 65_536;

/// Events set aside, neither applied nor dismissed since, oldest first.
pub async fn list(sql: &impl Sql, limit: u32, offset: u32) -> Result<Vec<SetAside>, SqlError> {
    let rows = sql
        .execute(
            "SELECT item_id, lane, stream_id, seq, order_id, payload, error, at FROM set_aside \
             WHERE applied_at IS NULL AND dismissed_at IS NULL ORDER BY at, item_id, lane, seq, stream_id LIMIT $1 OFFSET $2",
            &[i64::from(limit).into(), i64::from(offset).into()],
        )
        .await?;
    rows.iter().map(SetAside::read).collect()
}

/// How many events are set aside, neither applied nor dismissed since.
pub async fn count(sql: &impl Sql) -> Result<u64, SqlError> {
    let statement = "SELECT count(*) FROM set_aside WHERE applied_at IS NULL AND dismissed_at IS NULL";
    let rows = sql.execute(statement, &[]).await?;
    let count = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Tries up to `most` events again, those of an order in their order. One that is still refused stays as it was; pass
/// the number refused so far as `skip` to go on behind them.
pub async fn retry(sql: &impl Sql, most: u32, skip: u32) -> Result<Retried, SqlError> {
    let rows = sql
        .execute(
            "SELECT item_id, lane, stream_id, seq, order_id, payload, error, at FROM set_aside \
             WHERE applied_at IS NULL AND dismissed_at IS NULL ORDER BY item_id, lane, seq, stream_id LIMIT $1 OFFSET $2",
            &[i64::from(most).into(), i64::from(skip).into()],
        )
        .await?;
    let statement = format!(
        "UPDATE set_aside SET applied_at = {} \
         WHERE item_id = $1 AND lane = $2 AND stream_id = $3 AND applied_at IS NULL AND dismissed_at IS NULL \
         RETURNING seq",
        now(sql.dialect())
    );
    let mut retried = Retried::default();
    for row in rows {
        let aside = SetAside::read(&row)?;
        let key = [aside.item_id.into(), aside.lane.into(), aside.stream_id.into()];
        match sql.execute(&statement, &key).await {
            Ok(rows) => retried.applied += rows.len(),
            Err(SqlError::Refused(_)) => retried.refused += 1,
            Err(other) => return Err(other),
        }
    }
    Ok(retried)
}

/// Declares the matter of an event settled without it, so that later events of its order are applied again; answers
/// whether it was open. An operator's decision, for an event that was told anew under another number, or never was one.
pub async fn dismiss(sql: &impl Sql, lane: &Lane, stream_id: &str) -> Result<bool, SqlError> {
    let statement = format!(
        "UPDATE set_aside SET dismissed_at = {} \
         WHERE item_id = $1 AND lane = $2 AND stream_id = $3 AND applied_at IS NULL AND dismissed_at IS NULL \
         RETURNING seq",
        now(sql.dialect())
    );
    let key = [lane.item.as_str().into(), i64::from(lane.number).into(), stream_id.into()];
    Ok(!sql.execute(&statement, &key).await?.is_empty())
}

/// Gives up waiting for events that will never come, up to `seq`, so that those behind them are written; answers how
/// many were passed over. An operator's decision, for a Redis or a database that came back from an old copy.
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

/// Sets an entry aside, unless it was before.
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

/// Text that any database stores: PostgreSQL refuses U+0000, and what is set aside may be anything.
fn storable(text: &str) -> Value {
    text.chars()
        .take(LONGEST)
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect::<String>()
        .into()
}

/// The database's own clock, in milliseconds.
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
