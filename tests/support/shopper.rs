//! The shopper's side.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Client, Request, Response};
use crate::eventually;
use crate::seller::Item;

/// How long a shopper waits for a result before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a session.
#[derive(Clone)]
pub struct Shopper {
    client: Client,
    user_id: String,
    token: String,
}

impl Shopper {
    /// Opens a guest session.
    pub async fn arrive(client: &Client) -> Shopper {
        Shopper::from_session(client, &client.post("/api/session").insist().await.expect(201))
    }

    /// Opens a guest session at one of several hosts.
    pub async fn arrive_at(client: &Client, base: &str) -> Shopper {
        Shopper::arrive(&client.at(base)).await
    }

    /// The shopper with this session, as `POST /api/session` responds.
    pub fn from_session(client: &Client, session: &Value) -> Shopper {
        let token = session["token"].as_str().expect("a session has a token").to_owned();
        let user_id = session["user_id"].as_str().expect("a session has a user").to_owned();
        Shopper { client: client.bearing(&token), user_id, token }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same shopper at another host.
    pub fn at(&self, base: &str) -> Shopper {
        Shopper { client: self.client.at(base), ..self.clone() }
    }

    pub async fn ask_challenge(&self, item: &Item) -> Response {
        self.client.post(&format!("/api/items/{}/challenges", item.id)).send().await
    }

    /// Asks for a challenge and solves it. Returns the members that a reservation needs of it.
    pub async fn solved_challenge(&self, item: &Item) -> Result<Value, Response> {
        let path = format!("/api/items/{}/challenges", item.id);
        let response = self.client.post(&path).insist().await;
        if response.status != 201 {
            return Err(response);
        }
        Ok(solve(&response.json()))
    }

    /// The request for a reservation, ready to be sent.
    pub fn reservation_request(&self, item: &Item, body: &Value) -> Request {
        self.client.post(&format!("/api/items/{}/reservations", item.id)).json(body)
    }

    pub async fn ask_reservation(&self, item: &Item, body: &Value) -> Response {
        self.reservation_request(item, body).send().await
    }

    /// Challenge, solution, and reservation of one unit. Returns the response of the last step, or the first refusal.
    pub async fn reserve(&self, item: &Item) -> Response {
        self.reserve_units(item, 1).await
    }

    pub async fn reserve_units(&self, item: &Item, quantity: i64) -> Response {
        match self.solved_challenge(item).await {
            Ok(mut body) => {
                body["quantity"] = json!(quantity);
                self.ask_reservation(item, &body).await
            }
            Err(refusal) => refusal,
        }
    }

    /// Reserves one unit whatever happens to the host meanwhile. Returns the reservation.
    pub async fn insist_on_reservation(&self, item: &Item) -> Value {
        eventually("a reservation", PATIENCE, async || {
            let mut body = self.solved_challenge(item).await.ok()?;
            body["quantity"] = json!(1);
            let response = self.reservation_request(item, &body).try_send().await.ok()?;
            // The request of a lost response may have spent the challenge; the next try gets the reservation that it made.
            matches!(response.status, 200..=202).then(|| response.json())
        })
        .await
    }

    /// Reserves one unit and checks it out, whatever happens to the host meanwhile. Returns the order.
    pub async fn insist_on_order(&self, item: &Item) -> Value {
        let reservation = self.insist_on_reservation(item).await;
        let held = self.result(&reservation).await;
        assert_eq!(held["state"], "held", "{held}");
        self.checkout(&held).await.expect(201)
    }

    /// Reserves one unit and waits. Returns the reservation that is held.
    pub async fn hold(&self, item: &Item) -> Value {
        let response = self.reserve(item).await;
        assert!(matches!(response.status, 200..=202), "{response}");
        let result = self.result(&response.json()).await;
        assert_eq!(result["state"], "held", "{result}");
        result
    }

    /// Looks at a reservation once.
    pub async fn look(&self, reservation: &Value) -> Response {
        self.client.get(&format!("/api/reservations/{}", id(reservation))).insist().await
    }

    /// Polls until the reservation is decided, as its page does.
    pub async fn result(&self, reservation: &Value) -> Value {
        let id = id(reservation);
        let path = format!("/api/reservations/{id}");
        eventually(&format!("a result of {id}"), PATIENCE, async || {
            let now = self.client.get(&path).insist().await.expect(200);
            if now["state"] != "queued" {
                return Some(now);
            }
            let pause = now["poll_after_ms"].as_u64().expect("a queued reservation says when to ask again");
            // Impatient, so that a test is quick; but never a busy loop.
            tokio::time::sleep(Duration::from_millis(pause.clamp(5, 200))).await;
            None
        })
        .await
    }

    /// Polls until the reservation is in this state.
    pub async fn wait_for_state(&self, reservation: &Value, state: &str) -> Value {
        let id = id(reservation);
        let path = format!("/api/reservations/{id}");
        eventually(&format!("{id} is {state}"), PATIENCE, async || {
            let now = self.client.get(&path).insist().await.expect(200);
            (now["state"] == state).then_some(now)
        })
        .await
    }

    pub async fn give_back(&self, reservation: &Value) -> Response {
        self.client.delete(&format!("/api/reservations/{}", id(reservation))).insist().await
    }

    pub async fn checkout(&self, reservation: &Value) -> Response {
        self.checkout_request(reservation).insist().await
    }

    pub fn checkout_request(&self, reservation: &Value) -> Request {
        let body = json!({
            "contact": "Li Ming, +86 138 0000 0000",
            "address": "1 Racecourse Road, Chengdu",
            "note": "EU 42 / 请放前台",
        });
        self.client.post(&format!("/api/reservations/{}/checkout", id(reservation))).json(&body)
    }

    /// Reserves one unit and checks it out: an order to be paid.
    pub async fn order(&self, item: &Item) -> Value {
        let held = self.hold(item).await;
        self.checkout(&held).await.expect(201)
    }

    pub async fn look_at_order(&self, order: &Value) -> Value {
        self.client.get(&format!("/api/orders/{}", id(order))).insist().await.expect(200)
    }

    /// Polls until the order is in this state.
    pub async fn wait_for_order(&self, order: &Value, state: &str) -> Value {
        eventually(&format!("{} is {state}", id(order)), PATIENCE, async || {
            let now = self.look_at_order(order).await;
            (now["state"] == state).then_some(now)
        })
        .await
    }

    /// Asks to pay. The response is a payment with the address of the page to pay on.
    pub async fn begin_payment(&self, order: &Value) -> Response {
        self.client.post(&format!("/api/orders/{}/payments", id(order))).insist().await
    }

    /// Chooses on the simulated provider's page how a payment goes: `succeeded`, `failed` or `late`.
    pub async fn choose(&self, payment: &Value, outcome: &str) -> Response {
        self.choice_request(payment, outcome).send().await
    }

    pub fn choice_request(&self, payment: &Value, outcome: &str) -> Request {
        let page = payment["pay_url"].as_str().unwrap_or_else(|| panic!("no `pay_url` in {payment}"));
        let form = "application/x-www-form-urlencoded";
        self.client.post(page).header("content-type", form).body(format!("outcome={outcome}"))
    }

    pub async fn orders(&self) -> Vec<Value> {
        let response = self.client.get("/api/orders").insist().await.expect(200);
        response["orders"].as_array().unwrap_or_else(|| panic!("no `orders` in {response}")).clone()
    }
}

/// The solution of a challenge of a kind that a program can solve, with the challenge itself.
fn solve(challenge: &Value) -> Value {
    let token = challenge["challenge"].as_str().expect("a challenge has its token");
    match challenge["kind"].as_str() {
        Some("pow") => {
            let difficulty = challenge["difficulty"].as_u64().expect("pow has a difficulty");
            json!({ "challenge": token, "answer": solve_proof_of_work(token, difficulty) })
        }
        Some("off") => json!({}),
        kind => panic!("a program cannot solve challenges of the kind {kind:?}"),
    }
}

/// The first decimal for which SHA-256 of `challenge:solution` begins with that many zero bits.
pub fn solve_proof_of_work(challenge: &str, difficulty: u64) -> String {
    (0u64..)
        .map(|candidate| candidate.to_string())
        .find(|candidate| zero_bits(challenge, candidate) >= difficulty)
        .expect("there is always one")
}

/// With how many zero bits SHA-256 of `challenge:solution` begins.
pub fn zero_bits(challenge: &str, solution: &str) -> u64 {
    let digest = Sha256::digest(format!("{challenge}:{solution}"));
    let zeros = digest.iter().try_fold(0, |zeros, byte| match byte.leading_zeros() {
        8 => Ok(zeros + 8),
        some => Err(zeros + u64::from(some)),
    });
    zeros.unwrap_or_else(|zeros| zeros)
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_else(|| panic!("no `id` in {object}"))
}
