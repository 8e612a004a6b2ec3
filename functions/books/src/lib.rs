//! The operator's books: orders and payments, and whether Redis and the order database agree. For the operator only.
//!
//! | route | where | scripts |
//! | --- | --- | --- |
//! | `GET /api/admin/orders` | [`orders`] | |
//! | `DELETE /api/admin/orders/{id}/personal-data`, `DELETE /api/admin/shoppers/{user}/personal-data` | [`personal_data`] | `erase` |
//! | `GET /api/admin/refunds`, `POST …/{id}/claim`, `POST …/{id}/settle` | [`refunds`] | `refund` |
//! | `POST /api/admin/orders/{id}/refund`, `POST /api/admin/payments/{id}/refund` | [`refunds`] | `refund` |
//! | `GET /api/admin/set-aside`, `POST …/retry`, `…/dismiss`, `…/pass-over` | [`set_aside`] | `log_change` |
//! | `POST /api/admin/items/{id}/audit` | [`audit`] | `audit`, `audit_rows` |
//! | `POST /api/admin/items/{id}/reconcile`, `POST /api/admin/reconcile` | [`audit`] | those of the folders `rebuild`, `worker` and `ledger` |
//!
//! Problems: unauthorized, rate-limited, not-found, invalid, conflict, unavailable.

mod audit;
mod orders;
mod personal_data;
mod refunds;
mod set_aside;

use sale::Engine;
use web::caller::operator::{self, Operator};
use web::http::query::Page;
use web::{Method, Problem, Request, Response, SharedRedis};

web::service!("books", handle, settings: COMMON, OPERATOR, [LEDGER]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let operator = operator::check(request).await?;
    let path = request.path();
    let path = path.segments();
    let answer = route(request, &operator, &path).await?;
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
        ["api", "admin", "orders", id, "personal-data"] => ("order.erase".to_owned(), format!("order/{id}")),
        ["api", "admin", "shoppers", user, "personal-data"] => {
            ("user.erase".to_owned(), format!("user/{user}"))
        }
        ["api", "admin", "payments", id, "refund"] => ("payment.refund".to_owned(), format!("payment/{id}")),
        ["api", "admin", "refunds", id, verb] => (format!("refund.{verb}"), format!("refund/{id}")),
        ["api", "admin", "set-aside", verb] => (format!("set-aside.{verb}"), "set-aside".to_owned()),
        _ => return None,
    };
    Some((action, target))
}

async fn route(request: &mut Request, operator: &Operator, path: &[&str]) -> Result<Response, Problem> {
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
            refunds::settle_order(operator, id).await
        }
        ["api", "admin", "orders", id, "personal-data"] => {
            request.on("/api/admin/orders/:id/personal-data", &[Method::DELETE])?;
            personal_data::erase_order(id).await
        }
        ["api", "admin", "shoppers", user, "personal-data"] => {
            request.on("/api/admin/shoppers/:user/personal-data", &[Method::DELETE])?;
            personal_data::erase_shopper(user).await
        }
        ["api", "admin", "refunds"] => {
            request.on("/api/admin/refunds", &[Method::GET])?;
            refunds::list(request).await
        }
        ["api", "admin", "refunds", id, "claim"] => {
            request.on("/api/admin/refunds/:id/claim", &[Method::POST])?;
            refunds::claim(request, operator, id).await
        }
        ["api", "admin", "refunds", id, "settle"] => {
            request.on("/api/admin/refunds/:id/settle", &[Method::POST])?;
            refunds::settle(request, operator, id).await
        }
        ["api", "admin", "payments", id, "refund"] => {
            request.on("/api/admin/payments/:id/refund", &[Method::POST])?;
            refunds::settle_payment(operator, id).await
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
