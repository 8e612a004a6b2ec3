//! Contact, address and note of orders: recorded once, and erased for good.
//!
//! No event and no order has them. Redis keeps them with the lane (`keys::LaneKeys::details`), and the order database in
//! the table `personal_data`. After an erasure nothing of them comes back:
//! - The database is told first. It keeps the row without the data, so an event that is copied later adds nothing.
//! - Redis is told after that, and keeps an empty text. So a rebuild that read the database before adds nothing either.
//! - Redis may lose its last second in a crash. So [`confirm`] tells it again a minute later; ticks call it.
//!
//! A repeated erasure changes nothing.

use crate::recorded::{id_list, ids_as_rows};
use crate::sql::{Dialect, Row, Sql, SqlError, Value};
use crate::{CopyError, copy, read};
use sale::ids::{Lane, OrderId, UserId};
use sale::scripts::{Contact, EngineError, OutboxEntry};
use sale::store::Redis;
use sale::time::Timestamp;
use sale::{Engine, work};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Why the personal data of a shopper could not be erased. Part of it may be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Only Redis knows some orders of this lane, and whose they are is known once they are copied.
    #[error("the orders of lane {0} could not all be copied to the order database")]
    NotCopied(Lane),
}

/// Orders that one script or statement erases.
const BATCH: usize = 500;
/// Events that are copied at a time before a shopper's orders are erased.
const COPY_BATCH: u32 = 500;
/// How long after an erasure Redis is told again. By then it has the first erasure on disk, or lost it.
const CONFIRM_AFTER_MS: i64 = 60_000;

/// The members of an event that say whose order it made.
#[derive(Deserialize)]
struct Made {
    order_id: OrderId,
    user_id: UserId,
    at: i64,
}

/// A row to be written. Its member names are those of the statements.
#[derive(Serialize)]
struct Recorded {
    order_id: String,
    user_id: String,
    created_at: i64,
    contact: String,
    address: String,
    note: String,
}

/// Records what the shoppers of these events wrote. Data that was recorded with its order, or erased, stays as it is.
pub(crate) async fn record(sql: &impl Sql, entries: &[OutboxEntry]) -> Result<(), SqlError> {
    // By order, because PostgreSQL takes each only once in a statement.
    let rows: BTreeMap<String, Recorded> = entries.iter().filter_map(recorded).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<Recorded> = rows.into_values().collect();
    let rows = serde_json::to_string(&rows).map_err(|error| SqlError::Misunderstood(error.to_string()))?;
    let given = match sql.dialect() {
        Dialect::Sqlite => {
            "SELECT value ->> '$.order_id', value ->> '$.user_id', value ->> '$.created_at', value ->> '$.contact', \
                value ->> '$.address', value ->> '$.note' \
             FROM json_each($1) WHERE TRUE"
        }
        Dialect::Postgres => {
            "SELECT value ->> 'order_id', value ->> 'user_id', (value ->> 'created_at')::bigint, \
                value ->> 'contact', value ->> 'address', value ->> 'note' \
             FROM jsonb_array_elements($1::text::jsonb)"
        }
    };
    // An order that was never written may be made again, after Redis lost it.
    let statement = format!(
        "INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note) {given} \
         ON CONFLICT (order_id) DO UPDATE SET user_id = excluded.user_id, created_at = excluded.created_at, \
             contact = excluded.contact, address = excluded.address, note = excluded.note \
         WHERE personal_data.erased_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = excluded.order_id)"
    );
    sql.execute(&statement, &[rows.into()]).await.map(drop)
}

/// The row of an order that this event made, unless the data is erased.
fn recorded(entry: &OutboxEntry) -> Option<(String, Recorded)> {
    let Contact { contact, address, note } = entry.contact.as_ref()?;
    let made: Made = serde_json::from_slice(entry.event.as_bytes()).ok()?;
    // PostgreSQL can't store U+0000. A shopper may have typed it, and the order must still be recorded.
    let storable = |text: &str| text.replace('\0', "\u{fffd}");
    let order_id = made.order_id.to_string();
    let row = Recorded {
        order_id: order_id.clone(),
        user_id: made.user_id.to_string(),
        created_at: made.at,
        contact: storable(contact),
        address: storable(address),
        note: storable(note),
    };
    Some((order_id, row))
}

/// Contact, address and note of an order, unless they are erased.
pub async fn contact(sql: &impl Sql, order: &OrderId) -> Result<Option<Contact>, SqlError> {
    Ok(contacts(sql, std::slice::from_ref(order)).await?.remove(order))
}

/// Contacts, addresses and notes of these orders. Orders whose data is erased are left out.
pub async fn contacts(sql: &impl Sql, orders: &[OrderId]) -> Result<HashMap<OrderId, Contact>, SqlError> {
    let statement = format!(
        "SELECT order_id, contact, address, note FROM personal_data \
         WHERE erased_at IS NULL AND order_id IN ({})",
        ids_as_rows(sql)
    );
    let rows = sql.execute(&statement, &[id_list(orders)]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.text_if_any(column).map(|text| text.unwrap_or_default().to_owned());
            Ok((row.parsed(0)?, Contact { contact: text(1)?, address: text(2)?, note: text(3)? }))
        })
        .collect()
}

/// Erases the data of one order. Returns false if nobody knows the order.
pub async fn erase_order<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    order: &OrderId,
) -> Result<bool, CopyError> {
    let now = engine.time().await?;
    // The order may not be copied yet. The row that is written here then stands in the way of its data.
    let (user, created_at) = match read::order(sql, order).await? {
        Some(known) => (known.user, known.created_at),
        None => match engine.order(order, None).await? {
            Some((known, _)) => (known.user, known.created_at),
            None => return erase_unseen(engine, sql, order, now).await,
        },
    };
    sql.execute(
        "INSERT INTO personal_data (order_id, user_id, created_at, erased_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (order_id) DO UPDATE SET contact = NULL, address = NULL, note = NULL, \
             erased_at = excluded.erased_at WHERE personal_data.erased_at IS NULL",
        &[order.to_string().into(), user.as_str().into(), created_at.millis().into(), now.millis().into()],
    )
    .await?;
    erase_in_engine(engine, std::slice::from_ref(order)).await?;
    Ok(true)
}

/// Erases the data of an order that is neither in the database nor in Redis: its event may be set aside.
async fn erase_unseen<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    order: &OrderId,
    now: Timestamp,
) -> Result<bool, CopyError> {
    let id = Value::from(order.to_string());
    erase_where(sql, "order_id = $2", std::slice::from_ref(&id), now).await?;
    let known = sql.execute("SELECT 1 FROM personal_data WHERE order_id = $1", &[id]).await?;
    if known.is_empty() {
        return Ok(false);
    }
    erase_in_engine(engine, std::slice::from_ref(order)).await?;
    Ok(true)
}

/// Erases the data of all orders that a shopper has made so far. Returns how many orders had some.
///
/// Copies waiting events first, for at most `timeout` and one batch: only then the database knows all the orders.
pub async fn erase_shopper<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    user: &UserId,
    timeout: Duration,
) -> Result<usize, EraseError> {
    let until = Instant::now() + timeout;
    for lane in work::lanes(engine).await.map_err(CopyError::from)? {
        copy_all(engine, sql, &lane, until).await?;
    }
    let now = engine.time().await.map_err(CopyError::from)?;
    let user = Value::from(user.as_str());
    let erased =
        erase_where(sql, "user_id = $2", std::slice::from_ref(&user), now).await.map_err(CopyError::from)?;
    // Also those that an earlier call erased, which may have died before it told Redis.
    let rows = sql
        .execute("SELECT order_id FROM personal_data WHERE user_id = $1 AND erased_at IS NOT NULL", &[user])
        .await
        .map_err(CopyError::from)?;
    erase_in_engine(engine, &ids(&rows).map_err(CopyError::from)?).await.map_err(CopyError::from)?;
    Ok(erased.len())
}

/// Copies every event that the lane has now.
async fn copy_all<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    until: Instant,
) -> Result<(), EraseError> {
    let position = engine.position(lane).await.map_err(CopyError::from)?;
    if position.is_unfinished() {
        return Err(EraseError::NotCopied(lane.clone()));
    }
    let Some(last) = position.seq else { return Ok(()) };
    loop {
        let copied = copy(engine, sql, lane, COPY_BATCH).await?;
        let stuck = copied.events.contradicts || copied.events.waiting > 0;
        if !stuck && (copied.left == 0 || read::written(sql, lane).await.map_err(CopyError::from)? >= last) {
            return Ok(());
        }
        if stuck || Instant::now() >= until {
            return Err(EraseError::NotCopied(lane.clone()));
        }
    }
}

/// Erases the data of up to 500 orders that were made before `before`; the oldest first. Returns how many there were.
pub async fn erase_older<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    before: Timestamp,
) -> Result<usize, CopyError> {
    let now = engine.time().await?;
    let parameters = [before.millis().into(), i64::try_from(BATCH).unwrap_or(i64::MAX).into()];
    let oldest = "order_id IN (SELECT order_id FROM personal_data WHERE erased_at IS NULL AND created_at < $2 \
        ORDER BY created_at, order_id LIMIT $3)";
    let erased = erase_where(sql, oldest, &parameters, now).await?;
    erase_in_engine(engine, &erased).await?;
    Ok(erased.len())
}

/// Tells Redis again of up to 500 erasures that are a minute old. Returns how many there were.
pub async fn confirm<R: Redis>(engine: &Engine<R>, sql: &impl Sql) -> Result<usize, CopyError> {
    let now = engine.time().await?.millis();
    let rows = sql
        .execute(
            "SELECT order_id FROM personal_data WHERE erased_at <= $1 AND erased_at IS NOT NULL \
             AND confirmed_at IS NULL ORDER BY erased_at, order_id LIMIT $2",
            &[(now - CONFIRM_AFTER_MS).into(), i64::try_from(BATCH).unwrap_or(i64::MAX).into()],
        )
        .await?;
    let erased = ids(&rows)?;
    if erased.is_empty() {
        return Ok(0);
    }
    erase_in_engine(engine, &erased).await?;
    // The list is the first parameter of its query, so the moment stands in the statement.
    let statement = format!(
        "UPDATE personal_data SET confirmed_at = {now} WHERE confirmed_at IS NULL AND order_id IN ({})",
        ids_as_rows(sql)
    );
    sql.execute(&statement, &[id_list(&erased)]).await?;
    Ok(erased.len())
}

/// Erases in the database the rows that meet `condition`, whose parameters begin with `$2`. Returns their orders.
async fn erase_where(
    sql: &impl Sql,
    condition: &str,
    parameters: &[Value],
    now: Timestamp,
) -> Result<Vec<OrderId>, SqlError> {
    let statement = format!(
        "UPDATE personal_data SET erased_at = $1, contact = NULL, address = NULL, note = NULL \
         WHERE erased_at IS NULL AND {condition} RETURNING order_id"
    );
    let parameters: Vec<Value> =
        std::iter::once(now.millis().into()).chain(parameters.iter().cloned()).collect();
    ids(&sql.execute(&statement, &parameters).await?)
}

/// Erases the data of these orders in Redis.
async fn erase_in_engine<R: Redis>(engine: &Engine<R>, orders: &[OrderId]) -> Result<(), EngineError> {
    let mut by_lane = BTreeMap::<&Lane, Vec<OrderId>>::new();
    for order in orders {
        by_lane.entry(&order.lane).or_default().push(order.clone());
    }
    for (lane, orders) in by_lane {
        for some in orders.chunks(BATCH) {
            engine.erase_contacts(lane, some).await?;
        }
    }
    Ok(())
}

fn ids(rows: &[Row]) -> Result<Vec<OrderId>, SqlError> {
    rows.iter().map(|row| row.parsed(0)).collect()
}
