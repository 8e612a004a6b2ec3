//! `POST /api/payments/webhook` — the payment provider tells how a payment went: the script `settle`.
//!
//! Problems: not-found, invalid, bad-signature, stale-signature.

mod webhook;

use web::{Method, Problem, Request, Response};

web::service!("payments", handle, settings: COMMON + [PAYMENT_WEBHOOK_SECRET]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let ["api", "payments", "webhook"] = request.segments()[..] else {
        return Err(Problem::NotFound { what: "route" });
    };
    request.on("/api/payments/webhook", &[Method::POST])?;
    webhook::receive(request).await
}
