//! Money to give back: lists it, claims it for one operator, and records that it went back.
//!
//! An operator claims a refund, pays at the provider, and settles. Settling without a claim claims first. So every
//! way of recording a refund passes the same claim, and two operators never pay the same money back.

use order_ledger::refunds::{self, Claim, RefundKind};
use order_ledger::spin::{self, Database};
use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::money::Currency;
use sale::order::OrderState;
use sale::scripts::{OrderView, Refunded};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::shop::views::Order;
use web::{Problem, Request, Response, SharedRedis};

use crate::limits;

const NO_ORDER: Problem = Problem::NotFound { what: "order" };
const NO_PAYMENT: Problem = Problem::NotFound { what: "payment" };

/// Lists money to give back, longest waiting first.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let (size, offset) = limits(page);
    let found = refunds::due(&spin::open().await?, size, offset).await?;
    let refunds = found.rows.into_iter().map(Refund::from).collect();
    Ok(Response::ok(&Refunds { refunds, page: page.number, page_size: page.size, total: found.total }))
}

/// Claims a refund for one operator, before they pay it.
pub async fn claim(request: &mut Request, operator: &Operator, id: &str) -> Result<Response, Problem> {
    let by = name(request, operator).await?;
    let (sql, mut refund) = find(id).await?;
    if refund.refunded_at.is_some() && refund.claim.is_none() {
        return Err(Problem::conflict("This money went back before claims were kept"));
    }
    refund.claim = Some(hold(&sql, id, &by).await?);
    Ok(Response::ok(&Refund::from(refund)))
}

/// Records that the money of a refund went back.
pub async fn settle(request: &mut Request, operator: &Operator, id: &str) -> Result<Response, Problem> {
    let by = name(request, operator).await?;
    let (sql, mut refund) = find(id).await?;
    refund.claim = Some(hold(&sql, id, &by).await?);
    if refund.refunded_at.is_none() {
        let engine = Engine::new(SharedRedis);
        let now = engine.time().await?;
        match (refund.kind, id.parse::<PaymentId>()) {
            (RefundKind::Unmatched, _) => {
                refunds::settle_unmatched(&sql, id, now).await?;
            }
            (_, Ok(payment)) => refund.order_state = Some(note(&engine, &payment).await?.state),
            (_, Err(_)) => return Err(Problem::unavailable(format_args!("refund {id} names no payment"))),
        }
        refund.refunded_at = Some(now);
    }
    Ok(Response::ok(&Refund::from(refund)))
}

/// Records that the money of an order went back.
pub async fn settle_order(operator: &Operator, id: &str) -> Result<Response, Problem> {
    let id: OrderId = id.parse().map_err(|_| NO_ORDER)?;
    let engine = Engine::new(SharedRedis);
    let (order, _) = engine.order(&id, None).await?.ok_or(NO_ORDER)?;
    let payment = order.payment.clone().filter(|_| is_returnable(order.state));
    let Some((payment, _)) = payment else { return Err(no_money("An order that is", order.state)) };
    hold(&spin::open().await?, &payment.to_string(), operator.name()).await?;
    Ok(Response::ok(&Order::from(&note(&engine, &payment).await?)))
}

/// Records that the money of one payment went back.
pub async fn settle_payment(operator: &Operator, id: &str) -> Result<Response, Problem> {
    let id: PaymentId = id.parse().map_err(|_| NO_PAYMENT)?;
    let engine = Engine::new(SharedRedis);
    let (order, _) = engine.order(&id.order, None).await?.ok_or(NO_PAYMENT)?;
    if !goes_back(&order, &id) {
        return Err(no_money("This payment of an order that is", order.state));
    }
    hold(&spin::open().await?, &id.to_string(), operator.name()).await?;
    Ok(Response::ok(&Order::from(&note(&engine, &id).await?)))
}

/// The body of a claim, where there is one.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Body {
    by: Option<String>,
}

/// The operator for whom the request speaks.
async fn name(request: &mut Request, operator: &Operator) -> Result<String, Problem> {
    let Body { by } = request.json_if_any().await?.unwrap_or_default();
    operator.name_or(by)
}

async fn find(id: &str) -> Result<(Database, refunds::Refund), Problem> {
    let sql = spin::open().await?;
    let refund = refunds::find(&sql, id).await?.ok_or(Problem::NotFound { what: "refund" })?;
    Ok((sql, refund))
}

/// Makes sure that `by` holds the claim; a conflict names another holder.
async fn hold(sql: &Database, id: &str, by: &str) -> Result<Claim, Problem> {
    let claim = refunds::claim(sql, id, by, Engine::new(SharedRedis).time().await?).await?;
    if claim.by == by {
        Ok(claim)
    } else {
        Err(Problem::conflict(format!("{} claimed this refund at {}", claim.by, claim.at)))
    }
}

/// Tells the engine that the money of a payment went back.
async fn note(engine: &Engine<SharedRedis>, payment: &PaymentId) -> Result<OrderView, Problem> {
    match engine.refund_payment(payment).await? {
        Refunded::Done(order) => Ok(order),
        Refunded::Conflict(state) => Err(no_money("This payment of an order that is", state)),
        // A lane stays in Redis while money of it is due, so it was lost.
        Refunded::NotFound => Err(Problem::unavailable(format_args!("{payment} is not in Redis: reconcile"))),
    }
}

/// Whether the money of `payment` must go back, or went back.
fn goes_back(order: &OrderView, payment: &PaymentId) -> bool {
    let counts = order.payment.as_ref().is_some_and(|(id, _)| id == payment);
    (counts && is_returnable(order.state)) || order.surplus.iter().any(|surplus| surplus.payment == *payment)
}

fn is_returnable(state: OrderState) -> bool {
    matches!(state, OrderState::RefundDue | OrderState::Refunded)
}

fn no_money(what: &str, state: OrderState) -> Problem {
    let detail = format!("{what} {} has no money to go back", state.as_str());
    Problem::Conflict { detail, state: Some(state.as_str()) }
}

#[derive(Serialize)]
struct Refunds {
    refunds: Vec<Refund>,
    page: usize,
    page_size: usize,
    total: u64,
}

#[derive(Serialize)]
struct Refund {
    id: String,
    kind: RefundKind,
    reason: String,
    payment_id: String,
    order_id: String,
    amount: Amount,
    came_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_state: Option<OrderState>,
    /// Whether the money went back.
    settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<Timestamp>,
}

/// Money, without a currency where nobody told one.
#[derive(Serialize)]
struct Amount {
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
}

impl From<refunds::Refund> for Refund {
    fn from(refund: refunds::Refund) -> Self {
        let (claimed_by, claimed_at) = refund.claim.map(|claim| (claim.by, claim.at)).unzip();
        Refund {
            id: refund.id,
            kind: refund.kind,
            reason: refund.reason,
            payment_id: refund.payment_id,
            order_id: refund.order_id,
            amount: Amount { amount: refund.amount, currency: refund.currency },
            came_at: refund.came_at,
            order_state: refund.order_state,
            settled: refund.refunded_at.is_some(),
            claimed_by,
            claimed_at,
        }
    }
}
