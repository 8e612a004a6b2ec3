//! A shopper's orders: to see, to cancel, to pay. For the orders' own shopper.
//!
//! | route | script |
//! | --- | --- |
//! | `GET /api/orders`, `GET /api/orders/{id}` | `view_order`, and the order database |
//! | `GET /api/orders/{id}/item` | `view_order`, and the order database |
//! | `POST /api/orders/{id}/cancel` | `cancel` |
//! | `POST /api/orders/{id}/payments` | `pay` |
//!
//! Problems: unauthorized, not-found, conflict, invalid, unavailable.

mod orders;
mod payments;
mod provider;

use sale::Engine;
use sale::ids::OrderId;
use sale::scripts::Cancelled;
use web::caller::session;
use web::shop::views::Order;
use web::{Method, Problem, Request, Response, SharedRedis};

const NO_ORDER: Problem = Problem::NotFound { what: "order" };

web::service!("orders", handle, settings: COMMON, IDENTITY, [PAYMENT_PROVIDER, PAYMENT_URL, PAYMENT_LINK_SECRET, LEDGER]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    match request.path().segments()[..] {
        ["api", "orders"] => {
            request.on("/api/orders", &[Method::GET])?;
            orders::list(request).await
        }
        ["api", "orders", id] => {
            request.on("/api/orders/:id", &[Method::GET])?;
            orders::show(request, order_id(id)?).await
        }
        ["api", "orders", id, "item"] => {
            request.on("/api/orders/:id/item", &[Method::GET])?;
            orders::item(request, order_id(id)?).await
        }
        ["api", "orders", id, "cancel"] => {
            request.on("/api/orders/:id/cancel", &[Method::POST])?;
            cancel(request, order_id(id)?).await
        }
        ["api", "orders", id, "payments"] => {
            request.on("/api/orders/:id/payments", &[Method::POST])?;
            payments::open(request, order_id(id)?).await
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

fn order_id(text: &str) -> Result<OrderId, Problem> {
    text.parse().map_err(|_| NO_ORDER)
}

async fn cancel(request: &Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    match Engine::new(SharedRedis).cancel(&id, &user).await? {
        Cancelled::Done(order) => Ok(Response::ok(&Order::from(&order))),
        Cancelled::Conflict(state) => Err(orders::conflict("cancelled", state)),
        Cancelled::NotFound => Err(orders::settled_or_unknown(&id, &user, "cancelled").await),
    }
}
