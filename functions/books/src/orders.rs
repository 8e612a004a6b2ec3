//! Lists orders by state, and payments whose money must go back; notes refunds.

use order_ledger::{read, spin};
use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::money::Money;
use sale::order::OrderState;
use sale::scripts::Refunded;
use sale::time::Timestamp;
use serde::Serialize;
use web::shop::views::Order;
use web::{Problem, Request, Response, SharedRedis};

use crate::limits;

const NO_ORDER: Problem = Problem::NotFound { what: "order" };

#[derive(Serialize)]
struct Orders {
    orders: Vec<Order>,
    page: usize,
    page_size: usize,
    total: u64,
}

/// Lists orders in one state, longest waiting first. With `?state=refund_due` this is the operator's to-do list.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["state", "page", "page_size"])?;
    let page = query.page()?;
    let state = query.get("state").unwrap_or(OrderState::RefundDue.as_str());
    let state = OrderState::parse(state).ok_or_else(|| Problem::invalid("state", "is no order's state"))?;
    let (size, offset) = limits(page);
    let found = read::orders_in(&spin::open().await?, state, size, offset).await?;
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
    /// When the money arrived.
    settled_at: Timestamp,
    /// `refund_due`: the money arrived after the order had ended. Any other state: this is a surplus payment, or the
    /// order's other money is on its way back.
    order_state: OrderState,
}

/// Lists payments whose money must go back, longest waiting first.
pub async fn refunds(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let (size, offset) = limits(page);
    let found = read::refunds_due(&spin::open().await?, size, offset).await?;
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
