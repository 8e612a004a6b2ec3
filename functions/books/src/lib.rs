//! The operator's books: orders and payments, and whether engine and order database agree.
//!
//! | route | where |
//! | --- | --- |
//! | `GET /api/admin/orders`, `POST /api/admin/orders/{id}/refund` | [`orders`] |
//! | `POST /api/admin/items/{id}/audit`, `…/reconcile` | [`audit`] |
//!
//! Problems: unauthorized, not-found, invalid, conflict.

mod audit;
mod orders;

use order_ledger::spin;
use sale::Engine;
use sale::catalogue::Item;
use sale::ids::ItemId;
use web::{Method, Problem, Request, Response, SharedRedis, operator, settings};

#[spin_sdk::http_service]
async fn books(request: spin_sdk::http::Request) -> impl spin_sdk::http::IntoResponse {
    web::serve("books", request, handle).await
}

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    operator::check(request).await?;
    let segments: Vec<String> = request.segments().into_iter().map(str::to_owned).collect();
    match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["api", "admin", "items", id, "audit"] => {
            request.on("/api/admin/items/:id/audit", &[Method::POST])?;
            let engine = Engine::new(SharedRedis);
            audit::audit(&engine, &find(&engine, id).await?).await
        }
        ["api", "admin", "items", id, "reconcile"] => {
            request.on("/api/admin/items/:id/reconcile", &[Method::POST])?;
            let engine = Engine::new(SharedRedis);
            audit::reconcile(&engine, &find(&engine, id).await?).await
        }
        ["api", "admin", "orders"] => {
            request.on("/api/admin/orders", &[Method::GET])?;
            orders::list(request).await
        }
        ["api", "admin", "orders", id, "refund"] => {
            request.on("/api/admin/orders/:id/refund", &[Method::POST])?;
            orders::refund(id).await
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

async fn find(engine: &Engine<SharedRedis>, id: &str) -> Result<Item, Problem> {
    let no_item = Problem::NotFound { what: "item" };
    let id: ItemId = id.parse().map_err(|_| no_item.clone())?;
    engine.document(id.as_str()).await?.ok_or(no_item)
}

pub async fn open_ledger() -> Result<spin::Database, Problem> {
    spin::open(&settings::text("ledger").await?).await.map_err(Problem::unavailable)
}
