//! A customer of the demo: buys through the public API, as a real customer would, and pays at once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::seed;

/// The most zero bits that a proof of work may ask for. More would keep a newcomer waiting for more than some seconds.
const HARDEST: u64 = 22;
/// How long a reservation may stay in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);

/// Buys `quantity` units as a new guest, and pays.
///
/// # Errors
/// Fails if the shop accepts no guests, or if it offers only challenges for people.
pub fn buy(base: &str, item_id: &str, quantity: u64, webhook_secret: &str) -> anyhow::Result<()> {
    let customer = Customer::arrive(base)?;
    let mut wish = customer.solve_challenge(item_id)?;
    wish["quantity"] = json!(quantity);
    let reservation = customer.post(&format!("/api/items/{item_id}/reservations"), &wish)?;
    let id = text(&reservation, "id")?;
    customer.wait_until_held(id)?;
    let contact = json!({ "contact": "demo@example.com", "address": "1 Demo Street", "note": "" });
    let order = customer.post(&format!("/api/reservations/{id}/checkout"), &contact)?;
    let order_id = text(&order, "id")?;
    let payment = customer.post(&format!("/api/orders/{order_id}/payments"), &Value::Null)?;
    customer.send_webhook(&order, text(&payment, "id")?, webhook_secret)
}

struct Customer<'a> {
    agent: ureq::Agent,
    base: &'a str,
    token: String,
}

impl<'a> Customer<'a> {
    fn arrive(base: &'a str) -> anyhow::Result<Self> {
        let stranger = Customer { agent: seed::agent(), base, token: String::new() };
        let session = stranger.post("/api/session", &Value::Null)?;
        Ok(Customer { token: text(&session, "token")?.to_owned(), ..stranger })
    }

    /// A challenge and its solution, as the body of a reservation request.
    fn solve_challenge(&self, item_id: &str) -> anyhow::Result<Value> {
        let path = format!("/api/items/{item_id}/challenges");
        let mut challenge = self.post(&path, &Value::Null)?;
        if challenge["kind"] == "image" {
            challenge = self.post(&path, &json!({ "kind": "pow" }))?;
        }
        match text(&challenge, "kind")? {
            "off" => Ok(json!({})),
            "pow" => {
                let bits = challenge["difficulty"].as_u64().context("a proof of work has no difficulty")?;
                ensure!(bits <= HARDEST, "a proof of work of {bits} bits takes too long");
                let token = text(&challenge, "challenge")?;
                Ok(json!({ "challenge": token, "answer": prove_work(token, bits) }))
            }
            kind => bail!("a challenge of the kind {kind} is for people"),
        }
    }

    fn wait_until_held(&self, reservation_id: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + QUEUE_TIMEOUT;
        while Instant::now() < deadline {
            let reservation = self.get(&format!("/api/reservations/{reservation_id}"))?;
            match text(&reservation, "state")? {
                "held" => return Ok(()),
                "queued" => {
                    let pause = reservation["poll_after_ms"].as_u64().context("no `poll_after_ms`")?;
                    std::thread::sleep(Duration::from_millis(pause));
                }
                state => bail!("the reservation is {state}"),
            }
        }
        bail!("the reservation is still queued after {} s", QUEUE_TIMEOUT.as_secs())
    }

    /// Sends the webhook with which the payment provider reports that a payment succeeded.
    fn send_webhook(&self, order: &Value, payment_id: &str, secret: &str) -> anyhow::Result<()> {
        let body = json!({
            "event_id": format!("demo-{payment_id}"),
            "payment_id": payment_id,
            "order_id": order["id"],
            "type": "payment.succeeded",
            "amount": order["total"],
        })
        .to_string();
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(format!("{time}.{body}").as_bytes());
        let signature: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = "/api/payments/webhook";
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("stampede-signature", format!("t={time},v1={signature}"));
        let response = request.header("content-type", "application/json").send(body);
        seed::json_of("POST", path, response).map(drop)
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let response = request.header("authorization", format!("Bearer {}", self.token)).call();
        seed::json_of("GET", path, response)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let response = if body.is_null() {
            request.send_empty()
        } else {
            request.header("content-type", "application/json").send(body.to_string())
        };
        seed::json_of("POST", path, response)
    }
}

/// The first decimal number for which SHA-256 of `challenge:decimal` begins with at least `bits` zero bits.
fn prove_work(challenge: &str, bits: u64) -> String {
    let prefix = Sha256::new_with_prefix(format!("{challenge}:"));
    let leading_zeros = |digest: &[u8]| -> u64 {
        let zero_bytes = digest.iter().take_while(|byte| **byte == 0).count();
        8 * zero_bytes as u64 + digest.get(zero_bytes).map_or(0, |byte| u64::from(byte.leading_zeros()))
    };
    let mut number: u64 = 0;
    loop {
        let solution = number.to_string();
        if leading_zeros(&prefix.clone().chain_update(&solution).finalize()) >= bits {
            return solution;
        }
        number += 1;
    }
}

fn text<'a>(object: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    object[name].as_str().with_context(|| format!("no `{name}` in {object}"))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::prove_work;

    #[test]
    fn a_solution_gives_a_digest_with_enough_zero_bits() {
        let solution = prove_work("c", 13);
        let digest = Sha256::digest(format!("c:{solution}"));
        assert_eq!(digest[0], 0);
        assert!(digest[1] < 0b1000);
    }
}
