//! Orders by their state, and money that must go back.

use order_ledger::read;
use sale::Engine;
use sale::ids::OrderId;
use sale::order::OrderState;
use sale::scripts::Refunded;
use serde::Serialize;
use web::answers::Order;
use web::{Problem, Request, Response, SharedRedis};

use crate::open_ledger;

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
    let size = u32::try_from(page.size).unwrap_or(u32::MAX);
    let offset = u32::try_from(page.number.saturating_sub(1).saturating_mul(page.size)).unwrap_or(u32::MAX);
    let found =
        read::orders_in(&open_ledger().await?, state, size, offset).await.map_err(Problem::unavailable)?;
    let orders = found.rows.iter().map(|order| Order::from(&order.as_view())).collect();
    Ok(Response::ok(&Orders { orders, page: page.number, page_size: page.size, total: found.total }))
}

pub async fn refund(id: &str) -> Result<Response, Problem> {
    let id: OrderId = id.parse().map_err(|_| NO_ORDER)?;
    match Engine::new(SharedRedis).refund(&id).await? {
        Refunded::Done(order) => Ok(Response::ok(&Order::from(&order))),
        Refunded::Conflict(state) => Err(Problem::Conflict {
            detail: format!("An order that is {} has no money to go back", state.as_str()),
            state: Some(state.as_str()),
        }),
        Refunded::NotFound => Err(NO_ORDER),
    }
}
