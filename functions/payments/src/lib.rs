//! `POST /api/payments/webhook`, for the payment provider, which signs its calls: tells us how a payment went.
//!
//! Runs the script `settle`, and copies the success into the order database (scripts `read_outbox`, `acknowledge`) before it
//! responds. Money that matches no payment goes into the order database as money to give back.
//! Problems: malformed, invalid, bad-signature, stale-signature, unavailable.

mod webhook;

use web::{Method, Problem, Request, Response};

web::service!("payments", handle, settings: COMMON, [PAYMENT_WEBHOOK_SECRET, LEDGER]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let ["api", "payments", "webhook"] = request.segments()[..] else {
        return Err(Problem::NotFound { what: "route" });
    };
    request.on("/api/payments/webhook", &[Method::POST])?;
    webhook::receive(request).await
}
