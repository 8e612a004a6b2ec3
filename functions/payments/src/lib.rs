//! `POST /api/payments/webhook`, for the payment provider, which signs its calls: tells us how a payment went.
//!
//! Runs the script `settle`. Problems: not-found, invalid, bad-signature, stale-signature, unavailable.

mod webhook;

use web::{Method, Problem, Request, Response};

web::service!("payments", handle, settings: COMMON, [PAYMENT_WEBHOOK_SECRET]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let ["api", "payments", "webhook"] = request.segments()[..] else {
        return Err(Problem::NotFound { what: "route" });
    };
    request.on("/api/payments/webhook", &[Method::POST])?;
    webhook::receive(request).await
}
