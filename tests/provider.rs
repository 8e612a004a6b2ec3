//! The payment provider's side: signed webhooks that say how a payment went.

use serde_json::Value;
use stampede_tests::{Client, Request, Shopper, World, webhook};

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
        webhook(&self.client, secret, &format!("event of {id}"), id, kind, amount)
    }
}

/// Opens a payment of `order`.
pub async fn pay(shopper: &Shopper, order: &Value) -> Value {
    let path = format!("/api/orders/{}/payments", order["id"].as_str().unwrap());
    shopper.client().post(&path).insist().await.expect(201)
}
