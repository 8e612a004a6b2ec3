//! A payment provider's signed message.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::client::{Client, Request};

/// The webhook that says how the payment `payment_id` went, signed now with `secret`. `kind` is `payment.succeeded` or
/// `payment.failed`, `amount` is in minor units.
pub fn webhook(
    client: &Client,
    secret: &str,
    event_id: &str,
    payment_id: &str,
    kind: &str,
    amount: i64,
) -> Request {
    // p-<item>-<lane>-<tail>-<attempt> belongs to o-<item>-<lane>-<tail>.
    let order = payment_id.rsplit_once('-').map(|(order, _)| format!("o{}", &order[1..]));
    let order = order.expect("a payment's id ends in the number of its attempt");
    let body = json!({
        "event_id": event_id, "payment_id": payment_id, "order_id": order, "type": kind, "amount": amount,
    })
    .to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let seconds = now.as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    client
        .post("/api/payments/webhook")
        .header("stampede-signature", &format!("t={seconds},v1={hex}"))
        .header("content-type", "application/json")
        .body(body)
}
