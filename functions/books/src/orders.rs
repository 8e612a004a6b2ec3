//! Lists orders by state.

use order_ledger::{read, spin};
use sale::order::OrderState;
use serde::Serialize;
use web::shop::views::Order;
use web::{Problem, Request, Response};

use crate::limits;

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
