//! The payment provider's side: signed webhooks that say how a payment went.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_tests::{Client, Request, Shopper, World};

/// A provider that knows the shop's webhook key.
#[derive(Clone)]
pub struct Provider {
    client: Client,
    secret: &'static str,
}

impl Provider {
    pub fn of(world: &World) -> Provider {
        Provider { client: world.client(), secret: world.webhook_secret() }
    }

    /// The same provider, calling another host.
    pub fn at(&self, base: &str) -> Provider {
        Provider { client: self.client.at(base), ..self.clone() }
    }

    /// `payment.succeeded` or `payment.failed`, signed now.
    pub fn tell(&self, payment: &Value, kind: &str, amount: i64) -> Request {
        self.signed_by(self.secret, payment, kind, amount)
    }

    /// The same webhook from somebody who does not know the key.
    pub fn forge(&self, payment: &Value, kind: &str, amount: i64) -> Request {
        self.signed_by("somebody else's key, of more than 32 characters", payment, kind, amount)
    }

    fn signed_by(&self, secret: &str, payment: &Value, kind: &str, amount: i64) -> Request {
        let id = payment["id"].as_str().unwrap();
        // p-<item>-<lane>-<tail>-<attempt> belongs to o-<item>-<lane>-<tail>.
        let order = id.rsplit_once('-').map(|(order, _)| format!("o{}", &order[1..])).unwrap();
        let body = json!({
            "event_id": format!("event of {id}"), "payment_id": id, "order_id": order, "type": kind, "amount": amount,
        })
        .to_string();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{seconds}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.client
            .post("/api/payments/webhook")
            .header("stampede-signature", &format!("t={seconds},v1={hex}"))
            .header("content-type", "application/json")
            .body(body)
    }
}

/// Opens a payment of `order`.
pub async fn pay(shopper: &Shopper, order: &Value) -> Value {
    let path = format!("/api/orders/{}/payments", order["id"].as_str().unwrap());
    shopper.client().post(&path).insist().await.expect(201)
}
