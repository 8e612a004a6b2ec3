//! Orders with all that was paid for them, as the engine has them, and what a lane offers: enough to compare an engine with,
//! and to make one anew.

use crate::event::Described;
use crate::read::{ORDER, Order, Payment, PaymentState};
use crate::sql::{Dialect, Row, Sql, SqlError, Value};
use sale::catalogue::Documents;
use sale::ids::{Lane, OrderId, PaymentId};
use sale::item::Offer;
use sale::money::Money;
use sale::order::OrderState;
use sale::scripts::{self, Contact, OrderView, Surplus};
use sale::time::Timestamp;

/// An order with all that was paid for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole {
    pub order: OrderView,
    /// How many payments were opened.
    pub attempts: u32,
    /// Personal: never in logs.
    pub contact: Contact,
    /// The number of the last event of it, one of a payment included.
    pub seq: i64,
}

/// A payment whose money must go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundDue {
    pub payment: PaymentId,
    pub amount: Money,
    /// When the money came.
    pub settled_at: Timestamp,
    /// What became of the order.
    pub order_state: OrderState,
}

/// Orders of a lane by id, from behind `after`: all of them, in pieces.
pub async fn of_lane(
    sql: &impl Sql,
    lane: &Lane,
    after: Option<&OrderId>,
    limit: u32,
) -> Result<Vec<Whole>, SqlError> {
    let orders = crate::read::orders_of_lane(sql, lane, &OrderState::ALL, after, limit).await?;
    with_payments(sql, orders).await
}

/// These orders, those that there are.
pub async fn of(sql: &impl Sql, ids: &[OrderId]) -> Result<Vec<Whole>, SqlError> {
    let statement = format!("SELECT {ORDER} FROM orders WHERE id IN ({})", listed(sql));
    let rows = sql.execute(&statement, &[list(ids)]).await?;
    with_payments(sql, rows.iter().map(Order::read).collect::<Result<_, _>>()?).await
}

/// The orders of a lane that events tell of which were set aside, neither applied nor dismissed since.
pub async fn in_doubt(sql: &impl Sql, lane: &Lane) -> Result<Vec<String>, SqlError> {
    let parameters = [lane.item.as_str().into(), i64::from(lane.number).into()];
    let rows = sql
        .execute(
            "SELECT DISTINCT coalesce(order_id, '') FROM set_aside \
             WHERE item_id = $1 AND lane = $2 AND applied_at IS NULL AND dismissed_at IS NULL",
            &parameters,
        )
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// What the lane offered when it was last told.
pub async fn offer(sql: &impl Sql, lane: &Lane) -> Result<Option<Offer>, SqlError> {
    latest(sql, lane, "lane.changed").await
}

/// What the operator wrote of the lane's item, when it was last told.
pub async fn documents(sql: &impl Sql, lane: &Lane) -> Result<Option<Documents>, SqlError> {
    Ok(latest::<Described>(sql, lane, "lane.described").await?.map(|told| told.documents))
}

/// Units in unpaid and in paid orders of a lane, as they were after event number `seq`.
pub async fn units_at(sql: &impl Sql, lane: &Lane, seq: i64) -> Result<(i64, i64), SqlError> {
    let parameters = [lane.item.as_str().into(), i64::from(lane.number).into(), seq.into()];
    let rows = sql
        .execute(
            "SELECT type, CAST(sum(quantity) AS BIGINT) FROM events JOIN orders ON orders.id = order_id \
             WHERE events.item_id = $1 AND events.lane = $2 AND events.seq <= $3 GROUP BY type",
            &parameters,
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

/// Whether anything of the lane is still open: an unpaid order, or money that must go back.
pub async fn is_open(sql: &impl Sql, lane: &Lane) -> Result<bool, SqlError> {
    let parameters = [lane.item.as_str().into(), i64::from(lane.number).into()];
    let rows = sql
        .execute(
            "SELECT 1 FROM orders WHERE item_id = $1 AND lane = $2 AND (state IN ('unpaid', 'refund_due') OR EXISTS ( \
             SELECT 1 FROM payments WHERE order_id = orders.id AND payments.state = 'refund_due')) LIMIT 1",
            &parameters,
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Payments whose money must go back, those that wait longest first: that of orders which ended before it came, and what
/// came beside the payment that counts.
pub async fn refunds_due(
    sql: &impl Sql,
    limit: u32,
    offset: u32,
) -> Result<crate::read::Page<RefundDue>, SqlError> {
    const DUE: &str = "FROM payments JOIN orders ON orders.id = order_id \
        WHERE payments.state = 'refund_due' OR (payments.state = 'succeeded' AND orders.state = 'refund_due')";
    let counted = sql.execute(&format!("SELECT count(*) {DUE}"), &[]).await?;
    let total = counted.first().map_or(Ok(0), |row| row.small(0))?;
    let rows = sql
        .execute(
            &format!(
                "SELECT payments.id, amount, payments.currency, settled_at, orders.state {DUE} \
                 ORDER BY settled_at, payments.id LIMIT $1 OFFSET $2"
            ),
            &[i64::from(limit).into(), i64::from(offset).into()],
        )
        .await?;
    let rows = rows
        .iter()
        .map(|row| {
            Ok(RefundDue {
                payment: row.parsed(0)?,
                amount: Money::new(row.integer(1)?, row.currency(2)?),
                settled_at: row.moment(3)?,
                order_state: row.order_state(4)?,
            })
        })
        .collect::<Result<_, SqlError>>()?;
    Ok(crate::read::Page { rows, total })
}

async fn latest<T: for<'de> serde::Deserialize<'de>>(
    sql: &impl Sql,
    lane: &Lane,
    kind: &'static str,
) -> Result<Option<T>, SqlError> {
    // The kind is our own word, and stands in the statement so that the index of these events serves it.
    let statement = format!(
        "SELECT payload FROM events WHERE item_id = $1 AND lane = $2 AND type = '{kind}' ORDER BY seq DESC LIMIT 1"
    );
    let parameters = [lane.item.as_str().into(), i64::from(lane.number).into()];
    let rows = sql.execute(&statement, &parameters).await?;
    rows.first()
        .map(|row| {
            serde_json::from_slice(row.text(0)?.as_bytes())
                .map_err(|error| SqlError::Misunderstood(error.to_string()))
        })
        .transpose()
}

/// Puts to each order its payments and its last event.
async fn with_payments(sql: &impl Sql, orders: Vec<Order>) -> Result<Vec<Whole>, SqlError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let ids = list(&orders.iter().map(|order| order.id.clone()).collect::<Vec<_>>());
    let statement = format!(
        "SELECT id, amount, currency, state, created_at, settled_at, refunded_at FROM payments \
         WHERE order_id IN ({})",
        listed(sql)
    );
    let rows = sql.execute(&statement, std::slice::from_ref(&ids)).await?;
    let payments = rows.iter().map(Payment::read).collect::<Result<Vec<_>, _>>()?;
    let statement = format!(
        "SELECT order_id, max(seq) FROM events WHERE order_id IN ({}) GROUP BY order_id",
        listed(sql)
    );
    let rows = sql.execute(&statement, &[ids]).await?;
    let lasts = rows
        .iter()
        .map(|row: &Row| Ok((row.text(0)?.to_owned(), row.integer(1)?)))
        .collect::<Result<std::collections::HashMap<_, _>, SqlError>>()?;
    let mut by_order = std::collections::HashMap::<OrderId, Vec<Payment>>::new();
    for payment in payments {
        by_order.entry(payment.id.order.clone()).or_default().push(payment);
    }
    Ok(orders
        .into_iter()
        .map(|order| {
            let payments = by_order.remove(&order.id).unwrap_or_default();
            let seq = lasts.get(&order.id.to_string()).copied().unwrap_or(order.seq);
            whole(order, payments, seq)
        })
        .collect())
}

fn whole(order: Order, mut payments: Vec<Payment>, seq: i64) -> Whole {
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
            let beside = order.payment.as_ref() != Some(&payment.id);
            beside && matches!(payment.state, PaymentState::RefundDue | PaymentState::Refunded)
        })
        .map(|payment| Surplus {
            payment: payment.id.clone(),
            refunded: payment.state == PaymentState::Refunded,
        })
        .collect();
    let attempts = payments.last().map_or(0, |latest| latest.id.attempt);
    Whole { order: view, attempts, contact: order.contact, seq }
}

/// Ids as one parameter, and the query that makes rows of it.
fn list(ids: &[OrderId]) -> Value {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", ids.join(",")).into()
}

fn listed(sql: &impl Sql) -> &'static str {
    match sql.dialect() {
        Dialect::Sqlite => "SELECT value FROM json_each($1)",
        Dialect::Postgres => "SELECT jsonb_array_elements_text($1::text::jsonb)",
    }
}
