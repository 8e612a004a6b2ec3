//! Money to give back, and who gives it back.
//!
//! Money goes back for one of three reasons. It came after its order had ended, another payment of its order counts, or
//! it matches no payment of ours. The first two are payments of orders, which events record. Function `payments` records
//! the third here ([`record_unmatched`]), because no lane has it.
//!
//! An operator claims a refund before they pay. The claim is one row with one holder, so that two operators never pay
//! the same money back.

use crate::read::Page;
use crate::sql::{Row, Sql, SqlError, Value, count};
use sale::money::Currency;
use sale::order::OrderState;
use sale::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The most characters of a provider's word that are kept.
const MOST_TEXT: usize = 255;

/// Money to give back, or money that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// A payment's id, or `u-` and a digest for an unmatched payment.
    pub id: String,
    pub kind: RefundKind,
    /// Why it goes back, in one word of ours.
    pub reason: String,
    /// For an unmatched payment these two are the provider's words.
    pub payment_id: String,
    pub order_id: String,
    /// Minor units.
    pub amount: i64,
    /// Nothing if neither the provider nor an order tells it.
    pub currency: Option<Currency>,
    /// When the money came.
    pub came_at: Timestamp,
    /// The state of the payment's order.
    pub order_state: Option<OrderState>,
    /// When the money went back.
    pub refunded_at: Option<Timestamp>,
    pub claim: Option<Claim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundKind {
    /// The money came after its order had ended.
    Order,
    /// Another payment of the order counts.
    Surplus,
    /// The money matches no payment of ours.
    Unmatched,
}

/// The operator who gives a refund back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub by: String,
    pub at: Timestamp,
}

/// A success that the provider told and that matches no payment of ours.
#[derive(Debug, Clone)]
pub struct Unmatched<'a> {
    /// The provider's words, of any length and content.
    pub payment_id: &'a str,
    pub order_id: &'a str,
    pub event_id: &'a str,
    /// Minor units, more than 0.
    pub amount: i64,
    pub currency: Option<Currency>,
    /// The currency of the order, if we know the order. It is shown where the provider told none.
    pub order_currency: Option<Currency>,
    pub reason: Reason,
    pub came_at: Timestamp,
}

/// Why a success matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The payment is of another amount or currency.
    WrongAmount,
    /// The payment is of another order.
    OtherOrder,
    /// The order has no such payment.
    UnknownPayment,
    /// There is no such order.
    UnknownOrder,
    /// The sale is long over: nothing can become of the order.
    SaleOver,
}

impl Reason {
    pub const ALL: [Reason; 5] = [
        Reason::WrongAmount,
        Reason::OtherOrder,
        Reason::UnknownPayment,
        Reason::UnknownOrder,
        Reason::SaleOver,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::WrongAmount => "wrong_amount",
            Reason::OtherOrder => "other_order",
            Reason::UnknownPayment => "unknown_payment",
            Reason::UnknownOrder => "unknown_order",
            Reason::SaleOver => "sale_over",
        }
    }
}

impl Unmatched<'_> {
    /// The id under which the payment is recorded. A repeat has the same.
    ///
    /// The digest is of the complete texts, so that two long ids that begin alike differ.
    pub fn id(&self) -> String {
        let currency = self.currency.as_ref().map_or("", Currency::as_str);
        let digest = Sha256::digest(format!("{}\n{currency}\n{}", self.amount, self.payment_id));
        digest[..16].iter().fold("u-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
    }
}

/// Records a success that matches no payment. Returns whether it was new: a repeat changes nothing.
pub async fn record_unmatched(sql: &impl Sql, told: &Unmatched<'_>) -> Result<bool, SqlError> {
    let currency = told.currency.or(told.order_currency);
    let rows = sql
        .execute(
            "INSERT INTO unmatched_payments (id, payment_id, order_id, event_id, amount, currency, reason, came_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id",
            &[
                told.id().into(),
                storable(told.payment_id).into(),
                storable(told.order_id).into(),
                storable(told.event_id).into(),
                told.amount.into(),
                currency.map_or(Value::Null, |currency| currency.as_str().into()),
                told.reason.as_str().into(),
                told.came_at.millis().into(),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Money to give back; what has waited longest comes first.
pub async fn due(sql: &impl Sql, page_size: u32, offset: u32) -> Result<Page<Refund>, SqlError> {
    let due = refunds("orders.state = 'refund_due'", "payments.state = 'refund_due'", "settled_at IS NULL");
    let total = count(sql, &format!("FROM {due}"), &[]).await?;
    let statement = format!("SELECT {REFUND} FROM {due} ORDER BY came_at, id LIMIT $1 OFFSET $2");
    let rows = sql.execute(&statement, &[i64::from(page_size).into(), i64::from(offset).into()]).await?;
    Ok(Page { rows: rows.iter().map(Refund::read).collect::<Result<_, _>>()?, total })
}

/// One refund, due or given back.
pub async fn find(sql: &impl Sql, id: &str) -> Result<Option<Refund>, SqlError> {
    let found = refunds(
        "orders.state IN ('refund_due', 'refunded') AND payments.id = $1",
        "payments.state IN ('refund_due', 'refunded') AND payments.id = $1",
        "unmatched_payments.id = $1",
    );
    let rows = sql.execute(&format!("SELECT {REFUND} FROM {found}"), &[storable(id).into()]).await?;
    rows.first().map(Refund::read).transpose()
}

/// Claims a refund for the operator `by`, unless somebody has claimed it. Returns the claim that holds.
///
/// One statement inserts or reads, so of two operators at once one gets the claim and both are told who that is.
pub async fn claim(sql: &impl Sql, id: &str, by: &str, now: Timestamp) -> Result<Claim, SqlError> {
    let rows = sql
        .execute(
            "INSERT INTO refund_claims (refund_id, claimed_by, claimed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (refund_id) DO UPDATE SET claimed_by = refund_claims.claimed_by \
             RETURNING claimed_by, claimed_at",
            &[storable(id).into(), by.into(), now.millis().into()],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Err(SqlError::Misunderstood("a claim returned no row".to_owned()));
    };
    Ok(Claim { by: row.text(0)?.to_owned(), at: row.moment(1)? })
}

/// Records that an unmatched payment went back. Returns false if it had gone back before, or does not exist.
pub async fn settle_unmatched(sql: &impl Sql, id: &str, now: Timestamp) -> Result<bool, SqlError> {
    let rows = sql
        .execute(
            "UPDATE unmatched_payments SET settled_at = $1 WHERE id = $2 AND settled_at IS NULL RETURNING id",
            &[now.millis().into(), storable(id).into()],
        )
        .await?;
    Ok(!rows.is_empty())
}

const REFUND: &str = "id, kind, reason, payment_id, order_id, amount, currency, came_at, order_state, refunded_at, \
    claimed_by, claimed_at";

/// All refunds of the three kinds, as a table. Each kind has a condition, so that each is found by its own index.
fn refunds(of_orders: &str, surplus: &str, unmatched: &str) -> String {
    format!(
        "(SELECT payments.id AS id, 'order' AS kind, 'order_ended' AS reason, payments.id AS payment_id, order_id, \
             amount, payments.currency AS currency, settled_at AS came_at, orders.state AS order_state, refunded_at \
         FROM orders JOIN payments ON payments.id = orders.payment_id WHERE {of_orders} \
         UNION ALL \
         SELECT payments.id, 'surplus', 'paid_twice', payments.id, order_id, amount, payments.currency, settled_at, \
             orders.state, refunded_at \
         FROM payments JOIN orders ON orders.id = order_id AND orders.payment_id <> payments.id WHERE {surplus} \
         UNION ALL \
         SELECT id, 'unmatched', reason, payment_id, order_id, amount, currency, came_at, NULL, settled_at \
         FROM unmatched_payments WHERE {unmatched}) AS refunds \
         LEFT JOIN refund_claims ON refund_id = id"
    )
}

impl Refund {
    fn read(row: &Row) -> Result<Self, SqlError> {
        let claim = match row.text_if_any(10)? {
            Some(by) => Some(Claim { by: by.to_owned(), at: row.moment(11)? }),
            None => None,
        };
        Ok(Refund {
            id: row.text(0)?.to_owned(),
            kind: match row.text(1)? {
                "order" => RefundKind::Order,
                "surplus" => RefundKind::Surplus,
                "unmatched" => RefundKind::Unmatched,
                _ => return Err(row.unexpected(1)),
            },
            reason: row.text(2)?.to_owned(),
            payment_id: row.text(3)?.to_owned(),
            order_id: row.text(4)?.to_owned(),
            amount: row.integer(5)?,
            currency: row.text_if_any(6)?.map(|_| row.currency(6)).transpose()?,
            came_at: row.moment(7)?,
            order_state: row.text_if_any(8)?.map(|_| row.order_state(8)).transpose()?,
            refunded_at: row.moment_if_any(9)?,
            claim,
        })
    }
}

/// A provider's word as every database can store it: without control characters, and cut to [`MOST_TEXT`] characters.
fn storable(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().take(MOST_TEXT).map(plain).collect()
}
