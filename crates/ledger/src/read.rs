//! Reads of the database: orders, payments, totals, and how far each outbox is written.

use crate::sql::{Row, Sql, SqlError, Value, count, lane_parameters};
use sale::ids::{ItemId, Lane, OrderId, PaymentId, UserId};
use sale::money::{Currency, Money};
use sale::order::OrderState;
pub use sale::payment::PaymentState;
use sale::time::Timestamp;
use serde::Serialize;

/// An order as the database has it. Where its goods go, [`crate::personal_data`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub user: UserId,
    pub quantity: u32,
    pub unit_price: Money,
    /// Computed by the database.
    pub total: Money,
    pub state: OrderState,
    pub created_at: Timestamp,
    pub pay_by: Timestamp,
    /// When the money came: before the deadline for a paid order, too late for any other.
    pub paid_at: Option<Timestamp>,
    /// The payment that brought the money.
    pub payment: Option<PaymentId>,
    /// The moment of the event that gave the order its present state.
    pub updated_at: Timestamp,
    /// The number of that event in the lane.
    pub seq: i64,
}

/// An attempt to pay, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub amount: Money,
    pub state: PaymentState,
    pub created_at: Timestamp,
    /// When it succeeded or failed.
    pub settled_at: Option<Timestamp>,
    pub refunded_at: Option<Timestamp>,
}

/// An event of an order, as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedEvent {
    /// Its number in the lane.
    pub seq: i64,
    pub r#type: String,
    pub at: Timestamp,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// The number of rows on all pages.
    pub total: u64,
}

/// The orders of one lane in one state, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Total {
    pub lane: u16,
    pub state: OrderState,
    pub orders: u64,
    /// Units.
    pub quantity: i64,
    /// Minor units of the item's currency.
    pub amount: i64,
}

/// The payments of an item in one state, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentTotal {
    pub state: PaymentState,
    pub payments: u64,
    /// Minor units of the item's currency.
    pub amount: i64,
}

pub(crate) const ORDER: &str = "id, user_id, quantity, unit_price, total, currency, state, created_at, pay_by, paid_at, payment_id, \
    updated_at, seq";

impl Order {
    /// The order as the engine shows it, without failed attempts to pay and surplus payments. [`crate::recorded`] has
    /// those too.
    pub fn as_view(&self) -> sale::scripts::OrderView {
        sale::scripts::OrderView {
            id: self.id.clone(),
            state: self.state,
            user: self.user.clone(),
            quantity: self.quantity,
            unit_price: self.unit_price.clone(),
            created_at: self.created_at,
            pay_by: self.pay_by,
            paid_at: self.paid_at,
            payment: self.payment.clone().map(|id| (id, sale::scripts::PaymentState::Succeeded)),
            surplus: Vec::new(),
        }
    }
}

/// Whether the database answers at all.
pub async fn ping(sql: &impl Sql) -> Result<(), SqlError> {
    sql.execute("SELECT 1", &[]).await.map(drop)
}

/// The order of any shopper. For operators only.
pub async fn order(sql: &impl Sql, id: &OrderId) -> Result<Option<Order>, SqlError> {
    let rows =
        sql.execute(&format!("SELECT {ORDER} FROM orders WHERE id = $1"), &[id.to_string().into()]).await?;
    rows.first().map(Order::read).transpose()
}

/// The order, if it belongs to `user`.
pub async fn order_of(sql: &impl Sql, id: &OrderId, user: &UserId) -> Result<Option<Order>, SqlError> {
    let statement = format!("SELECT {ORDER} FROM orders WHERE id = $1 AND user_id = $2");
    let rows = sql.execute(&statement, &[id.to_string().into(), user.as_str().into()]).await?;
    rows.first().map(Order::read).transpose()
}

/// The orders of `user`, newest first.
pub async fn orders_of(
    sql: &impl Sql,
    user: &UserId,
    page_size: u32,
    offset: u32,
) -> Result<Page<Order>, SqlError> {
    orders_where(sql, "user_id = $1", user.as_str(), "created_at DESC, id DESC", page_size, offset).await
}

/// The orders in `state`; the order that has been in it longest comes first. An operator's list of work.
pub async fn orders_in(
    sql: &impl Sql,
    state: OrderState,
    page_size: u32,
    offset: u32,
) -> Result<Page<Order>, SqlError> {
    orders_where(sql, "state = $1", state.as_str(), "updated_at, id", page_size, offset).await
}

/// One page of a lane's orders in any of `states`, by id. The page begins behind `after`.
///
/// Reading page after page finds every order, also while the sale goes on.
pub async fn orders_of_lane(
    sql: &impl Sql,
    lane: &Lane,
    states: &[OrderState],
    after: Option<&OrderId>,
    page_size: u32,
) -> Result<Vec<Order>, SqlError> {
    // State names are our own words, so they may stand in the statement.
    let states: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
    let statement = format!(
        "SELECT {ORDER} FROM orders WHERE item_id = $1 AND lane = $2 AND id > $3 AND state IN ({}) ORDER BY id LIMIT $4",
        states.join(", ")
    );
    let [item, number] = lane_parameters(lane);
    let parameters =
        [item, number, after.map(OrderId::to_string).unwrap_or_default().into(), i64::from(page_size).into()];
    sql.execute(&statement, &parameters).await?.iter().map(Order::read).collect()
}

/// The payments of an order; the first attempt comes first.
pub async fn payments_of(sql: &impl Sql, order: &OrderId) -> Result<Vec<Payment>, SqlError> {
    let rows = sql
        .execute(
            "SELECT id, amount, currency, state, created_at, settled_at, refunded_at FROM payments \
             WHERE order_id = $1 ORDER BY created_at, id",
            &[order.to_string().into()],
        )
        .await?;
    rows.iter().map(Payment::read).collect()
}

/// One page of the payments of a lane's orders, by id. The page begins behind `after`.
///
/// Reading page after page finds every payment, also while the sale goes on.
pub async fn payments_of_lane(
    sql: &impl Sql,
    lane: &Lane,
    after: Option<&PaymentId>,
    page_size: u32,
) -> Result<Vec<Payment>, SqlError> {
    let [item, number] = lane_parameters(lane);
    let parameters = [
        item,
        number,
        after.map(PaymentId::to_string).unwrap_or_default().into(),
        i64::from(page_size).into(),
    ];
    let rows = sql
        .execute(
            "SELECT payments.id, amount, payments.currency, payments.state, payments.created_at, settled_at, refunded_at \
             FROM payments JOIN orders ON orders.id = order_id \
             WHERE item_id = $1 AND lane = $2 AND payments.id > $3 ORDER BY payments.id LIMIT $4",
            &parameters,
        )
        .await?;
    rows.iter().map(Payment::read).collect()
}

/// One attempt to pay.
pub async fn payment(sql: &impl Sql, id: &PaymentId) -> Result<Option<Payment>, SqlError> {
    let rows = sql
        .execute(
            "SELECT id, amount, currency, state, created_at, settled_at, refunded_at FROM payments WHERE id = $1",
            &[id.to_string().into()],
        )
        .await?;
    rows.first().map(Payment::read).transpose()
}

/// Every applied event of an order; the oldest comes first.
pub async fn history(sql: &impl Sql, order: &OrderId) -> Result<Vec<AppliedEvent>, SqlError> {
    let rows = sql
        .execute(
            "SELECT seq, type, at FROM events WHERE order_id = $1 ORDER BY seq",
            &[order.to_string().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AppliedEvent {
                seq: row.integer(0)?,
                r#type: row.text(1)?.to_owned(),
                at: Timestamp::from_millis(row.integer(2)?),
            })
        })
        .collect()
}

/// The orders of an item, added up by lane and state.
pub async fn totals(sql: &impl Sql, item: &ItemId) -> Result<Vec<Total>, SqlError> {
    let rows = sql
        .execute(
            "SELECT lane, state, count(*), CAST(sum(quantity) AS BIGINT), CAST(sum(total) AS BIGINT) \
             FROM orders WHERE item_id = $1 GROUP BY lane, state ORDER BY lane, state",
            &[item.as_str().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Total {
                lane: row.small(0)?,
                state: row.order_state(1)?,
                orders: row.small(2)?,
                quantity: row.integer(3)?,
                amount: row.integer(4)?,
            })
        })
        .collect()
}

/// The payments of an item's orders, added up by state.
pub async fn payment_totals(sql: &impl Sql, item: &ItemId) -> Result<Vec<PaymentTotal>, SqlError> {
    let rows = sql
        .execute(
            "SELECT payments.state, count(*), CAST(sum(amount) AS BIGINT) \
             FROM payments JOIN orders ON orders.id = order_id \
             WHERE item_id = $1 GROUP BY payments.state ORDER BY payments.state",
            &[item.as_str().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(PaymentTotal {
                state: row.payment_state(0)?,
                payments: row.small(1)?,
                amount: row.integer(2)?,
            })
        })
        .collect()
}

/// Every lane that the database knows, each with the number of its last event that is written or set aside.
pub async fn lanes(sql: &impl Sql) -> Result<Vec<(Lane, i64)>, SqlError> {
    let rows = sql.execute("SELECT item_id, lane, seq FROM lanes ORDER BY item_id, lane", &[]).await?;
    rows.iter().map(|row| Ok((Lane::new(row.parsed(0)?, row.small(1)?), row.integer(2)?))).collect()
}

/// The number of the lane's last event that is written or set aside; 0 before the first.
///
/// A lane that was lost and rebuilt goes on counting from here.
pub async fn written(sql: &impl Sql, lane: &Lane) -> Result<i64, SqlError> {
    let statement = "SELECT seq FROM lanes WHERE item_id = $1 AND lane = $2";
    let rows = sql.execute(statement, &lane_parameters(lane)).await?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// One page of the orders that meet `condition`, in which `$1` is `value`.
async fn orders_where(
    sql: &impl Sql,
    condition: &str,
    value: &str,
    order_by: &str,
    page_size: u32,
    offset: u32,
) -> Result<Page<Order>, SqlError> {
    let value = Value::from(value);
    let total = count(sql, &format!("FROM orders WHERE {condition}"), std::slice::from_ref(&value)).await?;
    let statement =
        format!("SELECT {ORDER} FROM orders WHERE {condition} ORDER BY {order_by} LIMIT $2 OFFSET $3");
    let parameters = [value, i64::from(page_size).into(), i64::from(offset).into()];
    let rows = sql.execute(&statement, &parameters).await?;
    Ok(Page { rows: rows.iter().map(Order::read).collect::<Result<_, _>>()?, total })
}

impl Order {
    pub(crate) fn read(row: &Row) -> Result<Self, SqlError> {
        let currency = row.currency(5)?;
        Ok(Order {
            id: row.parsed(0)?,
            user: row.parsed(1)?,
            quantity: row.small(2)?,
            unit_price: Money::new(row.integer(3)?, currency),
            total: Money::new(row.integer(4)?, currency),
            state: row.order_state(6)?,
            created_at: row.moment(7)?,
            pay_by: row.moment(8)?,
            paid_at: row.moment_if_any(9)?,
            payment: row.text_if_any(10)?.map(|_| row.parsed(10)).transpose()?,
            updated_at: row.moment(11)?,
            seq: row.integer(12)?,
        })
    }
}

impl Payment {
    pub(crate) fn read(row: &Row) -> Result<Self, SqlError> {
        Ok(Payment {
            id: row.parsed(0)?,
            amount: Money::new(row.integer(1)?, row.currency(2)?),
            state: row.payment_state(3)?,
            created_at: row.moment(4)?,
            settled_at: row.moment_if_any(5)?,
            refunded_at: row.moment_if_any(6)?,
        })
    }
}

impl Row {
    /// The whole number in `column`, in a type narrower than `i64`.
    pub(crate) fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T, SqlError> {
        T::try_from(self.integer(column)?).map_err(|_| self.unexpected(column))
    }

    pub(crate) fn moment(&self, column: usize) -> Result<Timestamp, SqlError> {
        self.integer(column).map(Timestamp::from_millis)
    }

    pub(crate) fn moment_if_any(&self, column: usize) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.integer_if_any(column)?.map(Timestamp::from_millis))
    }

    pub(crate) fn currency(&self, column: usize) -> Result<Currency, SqlError> {
        Currency::parse(self.text(column)?).map_err(|_| self.unexpected(column))
    }

    pub(crate) fn order_state(&self, column: usize) -> Result<OrderState, SqlError> {
        OrderState::parse(self.text(column)?).ok_or_else(|| self.unexpected(column))
    }

    pub(crate) fn payment_state(&self, column: usize) -> Result<PaymentState, SqlError> {
        PaymentState::parse(self.text(column)?).ok_or_else(|| self.unexpected(column))
    }
}
