//! The operator's API, and what keeps a deployment running.
//!
//! | route | who | where |
//! | --- | --- | --- |
//! | `/api/admin/sales…` | operator | [`sales`] |
//! | `/api/admin/items…` | operator | [`items`] |
//! | `/api/admin/blocklist/…`, `/api/admin/orders/…` | operator | [`desk`] |
//! | `POST /internal/tick` | operator | [`running`]: does what doorbells and alarms would |
//! | `GET /healthz`, `/readyz`, `/metrics` | all | [`running`] |
//!
//! The operator is whoever bears `admin_token`. Problems: unauthorized, not-found, invalid, conflict, version-mismatch.

mod audit;
mod desk;
mod items;
mod running;
mod sales;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use web::{Method, Problem, Request, Response, header, settings};

#[spin_sdk::http_service]
async fn admin(request: spin_sdk::http::Request) -> impl spin_sdk::http::IntoResponse {
    web::serve("admin", request, handle).await
}

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let segments: Vec<String> = request.segments().into_iter().map(str::to_owned).collect();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["healthz" | "readyz" | "metrics"] = path[..] {
        return running::look(request, path[0]).await;
    }
    // The whole of the rest is the operator's: no route can be forgotten.
    let token = settings::secret("admin_token").await?;
    if !is_operator(request, &token) {
        return Err(Problem::Unauthorized { detail: "This call needs the operator's bearer token" });
    }
    match path[..] {
        ["internal", "tick"] => {
            request.on("/internal/tick", &[Method::POST])?;
            running::tick().await
        }
        ["api", "admin", "sales"] => match request.on("/api/admin/sales", &[Method::GET, Method::POST])? {
            Method::GET => sales::list(request).await,
            _ => sales::create(request).await,
        },
        ["api", "admin", "sales", id] => {
            match request.on("/api/admin/sales/:id", &[Method::GET, Method::PUT])? {
                Method::GET => sales::show(id).await,
                _ => sales::change(request, id).await,
            }
        }
        ["api", "admin", "sales", id, "items"] => {
            match request.on("/api/admin/sales/:id/items", &[Method::GET, Method::POST])? {
                Method::GET => items::list(request, id).await,
                _ => items::create(request, id).await,
            }
        }
        ["api", "admin", "items", id] => {
            match request.on("/api/admin/items/:id", &[Method::GET, Method::PUT])? {
                Method::GET => items::show(id).await,
                _ => items::change(request, id).await,
            }
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
            items::step(request, id, step).await
        }
        ["api", "admin", "blocklist"] => {
            request.on("/api/admin/blocklist", &[Method::GET])?;
            desk::blocklist().await
        }
        ["api", "admin", "blocklist", kind, value] => {
            let method = request.on("/api/admin/blocklist/:kind/:value", &[Method::PUT, Method::DELETE])?;
            desk::block(kind, value, method == Method::PUT, request.now()).await
        }
        ["api", "admin", "orders"] => {
            request.on("/api/admin/orders", &[Method::GET])?;
            desk::orders(request).await
        }
        ["api", "admin", "orders", id, "refund"] => {
            request.on("/api/admin/orders/:id/refund", &[Method::POST])?;
            desk::refund(id).await
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

/// Compares digests, in constant time: neither the token's content nor its length shows in how long it takes.
fn is_operator(request: &Request, token: &str) -> bool {
    let authorization = request.header(header::AUTHORIZATION).unwrap_or_default();
    let Some((scheme, given)) = authorization.split_once(' ') else { return false };
    let same = Sha256::digest(given.trim().as_bytes()).ct_eq(&Sha256::digest(token.as_bytes()));
    scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
}
