//! The operator's API: what is on sale, by which rules, and who may not buy. For the operator only.
//!
//! | route | where | scripts of `operator/` |
//! | --- | --- | --- |
//! | `/api/admin/sales…` | [`sales`] | `save_document`, `describe_lane`, `archive_sale`, `delete_drafts` |
//! | `/api/admin/items…` | [`items`] | `save_document`, `publish_lane`, `describe_lane`, `stock`, `switch_lane`, `view_lane`, `delete_drafts` |
//! | `/api/admin/rules`, `/api/admin/items/{id}/rules` | [`rules`] | `save_document`, `apply_rules` |
//! | `/api/admin/log` | [`log`]: who changed what | `log_change` |
//! | `/api/admin/blocklist…` | [`blocklist`] | `block` |
//!
//! The function `books` has orders, audits and everything else that needs the order database.
//! Problems: unauthorized, rate-limited, not-found, invalid, conflict, version-mismatch.

mod blocklist;
mod items;
mod log;
mod rules;
mod sales;

use sale::rules::SHOP;
use web::caller::operator;
use web::{Method, Problem, Request, Response};

web::service!("admin", handle, settings: COMMON, OPERATOR, RULES, [
    CAPTCHA_KIND,
    CAPTCHA_DIFFICULTY,
    HOLD_SECONDS,
    PAY_SECONDS,
    RETENTION_SECONDS,
]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let operator = &operator::check(request).await?;
    match request.path().segments()[..] {
        ["api", "admin", "sales"] => match request.on("/api/admin/sales", &[Method::GET, Method::POST])? {
            Method::GET => sales::list(request).await,
            _ => sales::create(operator, request).await,
        },
        ["api", "admin", "sales", id] => {
            let methods = [Method::GET, Method::PUT, Method::DELETE];
            match request.on("/api/admin/sales/:id", &methods)? {
                Method::GET => sales::show(id).await,
                Method::DELETE => sales::delete(operator, request, id).await,
                _ => sales::change(operator, request, id).await,
            }
        }
        ["api", "admin", "sales", id, "items"] => {
            match request.on("/api/admin/sales/:id/items", &[Method::GET, Method::POST])? {
                Method::GET => items::list(request, id).await,
                _ => items::create(operator, request, id).await,
            }
        }
        ["api", "admin", "sales", id, "archive"] => {
            request.on("/api/admin/sales/:id/archive", &[Method::POST])?;
            sales::archive(operator, id).await
        }
        ["api", "admin", "items", id] => {
            let methods = [Method::GET, Method::PUT, Method::DELETE];
            match request.on("/api/admin/items/:id", &methods)? {
                Method::GET => items::show(id).await,
                Method::DELETE => items::delete(operator, request, id).await,
                _ => items::change(operator, request, id).await,
            }
        }
        ["api", "admin", "rules"] => match request.on("/api/admin/rules", &[Method::GET, Method::PUT])? {
            Method::GET => rules::show(SHOP).await,
            _ => rules::change(operator, request, SHOP).await,
        },
        ["api", "admin", "items", id, "rules"] => {
            match request.on("/api/admin/items/:id/rules", &[Method::GET, Method::PUT])? {
                Method::GET => rules::show(id).await,
                _ => rules::change(operator, request, id).await,
            }
        }
        ["api", "admin", "log"] => {
            request.on("/api/admin/log", &[Method::GET])?;
            log::list(request).await
        }
        ["api", "admin", "items", id, "stats"] => {
            request.on("/api/admin/items/:id/stats", &[Method::GET])?;
            items::stats(id).await
        }
        ["api", "admin", "items", id, step] => {
            if !items::STEPS.contains(&step) {
                return Err(Problem::NotFound { what: "route" });
            }
            request.on("/api/admin/items/:id/:step", &[Method::POST])?;
            items::step(operator, request, id, step).await
        }
        ["api", "admin", "blocklist"] => {
            request.on("/api/admin/blocklist", &[Method::GET])?;
            blocklist::show().await
        }
        ["api", "admin", "blocklist", kind, value] => {
            let method = request.on("/api/admin/blocklist/:kind/:value", &[Method::PUT, Method::DELETE])?;
            match method {
                Method::PUT => blocklist::block(operator, request, kind, value).await,
                _ => blocklist::unblock(operator, kind, value).await,
            }
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}
