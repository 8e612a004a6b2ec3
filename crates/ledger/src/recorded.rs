//! Orders as the database recorded them, in the engine's own types, and what each lane offered.
//!
//! [`crate::audit`] compares the engine with these rows, and [`crate::rebuild`] puts a lane back from them.

use crate::event::Described;
use crate::read::{ORDER, Order, Payment, PaymentState};
use crate::sql::{Dialect, Row, Sql, SqlError, Value, lane_parameters};
use sale::catalogue::Documents;
use sale::ids::{Lane, OrderId};
use sale::item::Offer;
use sale::order::OrderState;
use sale::scripts::{self, OrderView, Surplus};
use std::collections::HashMap;

/// An order with all its payments.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedOrder {
    pub order: OrderView,
    /// How many payments were opened.
    pub attempts: u32,
    /// The number of the last event about the order or one of its payments.
    pub seq: i64,
}

/// One page of a lane's orders, by id. The page begins behind `after`.
pub async fn orders_of_lane(
    sql: &impl Sql,
    lane: &Lane,
    after: Option<&OrderId>,
    page_size: u32,
) -> Result<Vec<RecordedOrder>, SqlError> {
    let orders = crate::read::orders_of_lane(sql, lane, &OrderState::ALL, after, page_size).await?;
    with_payments(sql, orders).await
}

/// The orders with these ids. Ids that the database does not have are left out.
pub async fn orders(sql: &impl Sql, ids: &[OrderId]) -> Result<Vec<RecordedOrder>, SqlError> {
    let statement = format!("SELECT {ORDER} FROM orders WHERE id IN ({})", ids_as_rows(sql));
    let rows = sql.execute(&statement, &[id_list(ids)]).await?;
    with_payments(sql, rows.iter().map(Order::read).collect::<Result<_, _>>()?).await
}

/// The ids of a lane's orders with an event that is set aside, neither applied nor dismissed since.
///
/// An event without a readable order adds an empty id.
pub async fn orders_in_doubt(sql: &impl Sql, lane: &Lane) -> Result<Vec<String>, SqlError> {
    let rows = sql
        .execute(
            "SELECT DISTINCT coalesce(order_id, '') FROM set_aside \
             WHERE item_id = $1 AND lane = $2 AND applied_at IS NULL AND dismissed_at IS NULL",
            &lane_parameters(lane),
        )
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// The lane's latest stock and terms.
pub async fn latest_offer(sql: &impl Sql, lane: &Lane) -> Result<Option<Offer>, SqlError> {
    latest(sql, lane, "lane.changed").await
}

/// The payload of the lane's last `lane.changed` event before event number `seq`.
pub async fn change_before(sql: &impl Sql, lane: &Lane, seq: i64) -> Result<Option<String>, SqlError> {
    let [item, number] = lane_parameters(lane);
    let rows = sql
        .execute(
            "SELECT payload FROM events WHERE item_id = $1 AND lane = $2 AND type = 'lane.changed' AND seq < $3 \
             ORDER BY seq DESC LIMIT 1",
            &[item, number, seq.into()],
        )
        .await?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// The latest sale and item documents of the lane, as the operator wrote them.
pub async fn latest_documents(sql: &impl Sql, lane: &Lane) -> Result<Option<Documents>, SqlError> {
    Ok(latest::<Described>(sql, lane, "lane.described").await?.map(|described| described.documents))
}

/// Units in unpaid and in paid orders of a lane, as they were after event number `seq`.
pub async fn units_at(sql: &impl Sql, lane: &Lane, seq: i64) -> Result<(i64, i64), SqlError> {
    let [item, number] = lane_parameters(lane);
    let rows = sql
        .execute(
            "SELECT type, CAST(sum(quantity) AS BIGINT) FROM events JOIN orders ON orders.id = order_id \
             WHERE events.item_id = $1 AND events.lane = $2 AND events.seq <= $3 GROUP BY type",
            &[item, number, seq.into()],
        )
        .await?;
    let (mut unpaid, mut paid) = (0, 0);
    for row in rows {
        let units = row.integer(1)?;
        match row.text(0)? {
            "order.created" => unpaid += units,
            "order.paid" => {
                unpaid -= units;
                paid += units;
            }
            "order.cancelled" | "order.timed_out" => unpaid -= units,
            _ => {}
        }
    }
    Ok((unpaid, paid))
}

/// Whether the lane has an unpaid order, or money that must go back.
pub async fn has_open_orders(sql: &impl Sql, lane: &Lane) -> Result<bool, SqlError> {
    let rows = sql
        .execute(
            "SELECT 1 FROM orders WHERE item_id = $1 AND lane = $2 AND (state IN ('unpaid', 'refund_due') OR EXISTS ( \
             SELECT 1 FROM payments WHERE order_id = orders.id AND payments.state = 'refund_due')) LIMIT 1",
            &lane_parameters(lane),
        )
        .await?;
    Ok(!rows.is_empty())
}

/// The payload of the lane's latest event of the type `event_type`.
async fn latest<T: for<'de> serde::Deserialize<'de>>(
    sql: &impl Sql,
    lane: &Lane,
    event_type: &'static str,
) -> Result<Option<T>, SqlError> {
    // The type stands in the statement, not in a parameter, so that the partial index on these events is used. The word
    // is our own, so this is safe.
    let statement = format!(
        "SELECT payload FROM events WHERE item_id = $1 AND lane = $2 AND type = '{event_type}' ORDER BY seq DESC LIMIT 1"
    );
    let rows = sql.execute(&statement, &lane_parameters(lane)).await?;
    rows.first()
        .map(|row| {
            serde_json::from_slice(row.text(0)?.as_bytes())
                .map_err(|error| SqlError::Misunderstood(error.to_string()))
        })
        .transpose()
}

/// Adds to each order its payments and the number of its last event.
async fn with_payments(sql: &impl Sql, orders: Vec<Order>) -> Result<Vec<RecordedOrder>, SqlError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let ids = id_list(&orders.iter().map(|order| order.id.clone()).collect::<Vec<_>>());
    let statement = format!(
        "SELECT id, amount, currency, state, created_at, settled_at, refunded_at FROM payments \
         WHERE order_id IN ({})",
        ids_as_rows(sql)
    );
    let rows = sql.execute(&statement, std::slice::from_ref(&ids)).await?;
    let payments = rows.iter().map(Payment::read).collect::<Result<Vec<_>, _>>()?;
    let statement = format!(
        "SELECT order_id, max(seq) FROM events WHERE order_id IN ({}) GROUP BY order_id",
        ids_as_rows(sql)
    );
    let rows = sql.execute(&statement, &[ids]).await?;
    let last_events = rows
        .iter()
        .map(|row: &Row| Ok((row.text(0)?.to_owned(), row.integer(1)?)))
        .collect::<Result<HashMap<_, _>, SqlError>>()?;
    let mut by_order = HashMap::<OrderId, Vec<Payment>>::new();
    for payment in payments {
        by_order.entry(payment.id.order.clone()).or_default().push(payment);
    }
    Ok(orders
        .into_iter()
        .map(|order| {
            let payments = by_order.remove(&order.id).unwrap_or_default();
            let seq = last_events.get(&order.id.to_string()).copied().unwrap_or(order.seq);
            with_these_payments(order, payments, seq)
        })
        .collect())
}

/// The order as the engine shows it: with the payment that counts, or else the latest attempt, and surplus payments.
fn with_these_payments(order: Order, mut payments: Vec<Payment>, seq: i64) -> RecordedOrder {
    payments.sort_unstable_by_key(|payment| payment.id.attempt);
    let mut view = order.as_view();
    if view.payment.is_none() {
        view.payment = payments.last().map(|latest| {
            let failed = latest.state == PaymentState::Failed;
            let state = if failed { scripts::PaymentState::Failed } else { scripts::PaymentState::Pending };
            (latest.id.clone(), state)
        });
    }
    view.surplus = payments
        .iter()
        .filter(|payment| {
            let counts = order.payment.as_ref() == Some(&payment.id);
            !counts && matches!(payment.state, PaymentState::RefundDue | PaymentState::Refunded)
        })
        .map(|payment| Surplus {
            payment: payment.id.clone(),
            refunded: payment.state == PaymentState::Refunded,
        })
        .collect();
    let attempts = payments.last().map_or(0, |latest| latest.id.attempt);
    RecordedOrder { order: view, attempts, seq }
}

/// Ids as one parameter, a JSON array. [`ids_as_rows`] reads it.
pub(crate) fn id_list(ids: &[OrderId]) -> Value {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(",")).into()
}

/// The query that turns parameter `$1`, an [`id_list`], into rows.
pub(crate) fn ids_as_rows(sql: &impl Sql) -> &'static str {
    match sql.dialect() {
        Dialect::Sqlite => "SELECT value FROM json_each($1)",
        Dialect::Postgres => "SELECT jsonb_array_elements_text($1::text::jsonb)",
    }
}
