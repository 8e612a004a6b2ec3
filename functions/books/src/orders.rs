//! Orders by their state, and money that must go back.

use order_ledger::read;
use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::money::Money;
use sale::order::OrderState;
use sale::scripts::Refunded;
use sale::time::Timestamp;
use serde::Serialize;
use web::answers::Order;
use web::{Problem, Request, Response, SharedRedis};

use crate::{limits, open_ledger};

const NO_ORDER: Problem = Problem::NotFound { what: "order" };

#[derive(Serialize)]
struct Orders {
    orders: Vec<Order>,
    page: usize,
    page_size: usize,
    total: u64,
}

/// Orders in one state, those that wait longest first: `?state=refund_due` is the operator's to-do list.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["state", "page", "page_size"])?;
    let page = query.page()?;
    let state = query.get("state").unwrap_or(OrderState::RefundDue.as_str());
    let state = OrderState::parse(state).ok_or_else(|| Problem::invalid("state", "is no order's state"))?;
    let (size, offset) = limits(page);
    let found =
        read::orders_in(&open_ledger().await?, state, size, offset).await.map_err(Problem::unavailable)?;
    let orders = found.rows.iter().map(|order| Order::from(&order.as_view())).collect();
    Ok(Response::ok(&Orders { orders, page: page.number, page_size: page.size, total: found.total }))
}

pub async fn refund(id: &str) -> Result<Response, Problem> {
    let id: OrderId = id.parse().map_err(|_| NO_ORDER)?;
    match Engine::new(SharedRedis).refund(&id).await? {
        Refunded::Done(order) => Ok(Response::ok(&Order::from(&order))),
        Refunded::Conflict(state) => Err(no_money("An order that is", state)),
        Refunded::NotFound => Err(NO_ORDER),
    }
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

/// A payment whose money must go back.
#[derive(Serialize)]
struct Refund {
    payment_id: PaymentId,
    order_id: OrderId,
    amount: Money,
    /// When the money came.
    settled_at: Timestamp,
    /// `refund_due`: it came when the order had ended. Any other state: another payment had paid for the order, or the
    /// money of another is on its way back.
    order_state: OrderState,
}

/// Payments whose money must go back, those that wait longest first.
pub async fn refunds(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let (size, offset) = limits(page);
    let found = read::refunds_due(&open_ledger().await?, size, offset).await.map_err(Problem::unavailable)?;
    let refund = |due: read::RefundDue| Refund {
        order_id: due.payment.order.clone(),
        payment_id: due.payment,
        amount: due.amount,
        settled_at: due.settled_at,
        order_state: due.order_state,
    };
    let refunds = found.rows.into_iter().map(refund).collect();
    Ok(Response::ok(&Refunds { refunds, page: page.number, page_size: page.size, total: found.total }))
}

/// Notes that the money of one payment went back.
pub async fn refund_payment(id: &str) -> Result<Response, Problem> {
    let no_payment = Problem::NotFound { what: "payment" };
    let id: PaymentId = id.parse().map_err(|_| no_payment.clone())?;
    match Engine::new(SharedRedis).refund_payment(&id).await? {
        Refunded::Done(order) => Ok(Response::ok(&Order::from(&order))),
        Refunded::Conflict(state) => Err(no_money("This payment of an order that is", state)),
        Refunded::NotFound => Err(no_payment),
    }
}
