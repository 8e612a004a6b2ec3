//! The operator's books: orders and payments, and whether Redis and the order database agree. For the operator only.
//!
//! | route | where | scripts |
//! | --- | --- | --- |
//! | `GET /api/admin/orders`, `POST /api/admin/orders/{id}/refund` | [`orders`] | `refund` |
//! | `GET /api/admin/refunds`, `POST /api/admin/payments/{id}/refund` | [`orders`] | `refund` |
//! | `GET /api/admin/set-aside`, `POST …/retry`, `…/dismiss`, `…/pass-over` | [`set_aside`] | `log_change` |
//! | `POST /api/admin/items/{id}/audit` | [`audit`] | `audit`, `audit_rows` |
//! | `POST /api/admin/items/{id}/reconcile`, `POST /api/admin/reconcile` | [`audit`] | those of the folders `rebuild`, `worker` and `ledger` |
//!
//! Problems: unauthorized, rate-limited, not-found, invalid, conflict, unavailable.

mod audit;
mod orders;
mod set_aside;

use sale::Engine;
use web::caller::operator;
use web::http::query::Page;
use web::{Method, Problem, Request, Response, SharedRedis};

web::service!("books", handle, settings: COMMON, OPERATOR, [LEDGER]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let operator = operator::check(request).await?;
    let path = request.path();
    let path = path.segments();
    let answer = route(request, &path).await?;
    if let Some((action, target)) = change(&path) {
        // The order database gets these changes as events. The log says which operator asked, also for a repeated call.
        operator.engine(&action, target).log_change(&(), &"done").await?;
    }
    Ok(answer)
}

/// The action and target that the log names after a successful call; nothing for a call that only reads.
fn change(path: &[&str]) -> Option<(String, String)> {
    let (action, target) = match *path {
        ["api", "admin", "items", id, "reconcile"] => ("item.reconcile".to_owned(), format!("item/{id}")),
        ["api", "admin", "reconcile"] => ("shop.reconcile".to_owned(), "shop".to_owned()),
        ["api", "admin", "orders", id, "refund"] => ("order.refund".to_owned(), format!("order/{id}")),
        ["api", "admin", "payments", id, "refund"] => ("payment.refund".to_owned(), format!("payment/{id}")),
        ["api", "admin", "set-aside", verb] => (format!("set-aside.{verb}"), "set-aside".to_owned()),
        _ => return None,
    };
    Some((action, target))
}

async fn route(request: &mut Request, path: &[&str]) -> Result<Response, Problem> {
    match *path {
        ["api", "admin", "items", id, "audit"] => {
            request.on("/api/admin/items/:id/audit", &[Method::POST])?;
            audit::audit(&Engine::new(SharedRedis), id).await
        }
        ["api", "admin", "items", id, "reconcile"] => {
            request.on("/api/admin/items/:id/reconcile", &[Method::POST])?;
            audit::reconcile(&Engine::new(SharedRedis), id).await
        }
        ["api", "admin", "reconcile"] => {
            request.on("/api/admin/reconcile", &[Method::POST])?;
            audit::reconcile_all(&Engine::new(SharedRedis)).await
        }
        ["api", "admin", "orders"] => {
            request.on("/api/admin/orders", &[Method::GET])?;
            orders::list(request).await
        }
        ["api", "admin", "orders", id, "refund"] => {
            request.on("/api/admin/orders/:id/refund", &[Method::POST])?;
            orders::refund(id).await
        }
        ["api", "admin", "refunds"] => {
            request.on("/api/admin/refunds", &[Method::GET])?;
            orders::refunds(request).await
        }
        ["api", "admin", "payments", id, "refund"] => {
            request.on("/api/admin/payments/:id/refund", &[Method::POST])?;
            orders::refund_payment(id).await
        }
        ["api", "admin", "set-aside"] => {
            request.on("/api/admin/set-aside", &[Method::GET])?;
            set_aside::list(request).await
        }
        ["api", "admin", "set-aside", "retry"] => {
            request.on("/api/admin/set-aside/retry", &[Method::POST])?;
            set_aside::retry().await
        }
        ["api", "admin", "set-aside", "dismiss"] => {
            request.on("/api/admin/set-aside/dismiss", &[Method::POST])?;
            set_aside::dismiss(request).await
        }
        ["api", "admin", "set-aside", "pass-over"] => {
            request.on("/api/admin/set-aside/pass-over", &[Method::POST])?;
            set_aside::pass_over(request).await
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

/// A page as the order database takes it: how many, from where on.
pub fn limits(page: Page) -> (u32, u32) {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    (number(page.size), number(page.number.saturating_sub(1).saturating_mul(page.size)))
}
