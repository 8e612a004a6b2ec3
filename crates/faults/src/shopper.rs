//! A shopper who wants a unit, whatever breaks meanwhile, and the provider who takes the money.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stampede_tests::{Client, Item, Request, Response, Shopper, solve_proof_of_work, webhook};

use crate::plan::{AfterHold, PAY_SECONDS, PRICE, Payment, ShopperPlan};
use crate::record::{Call, Money, Record, Seen};

/// Between two tries of a request that got no response.
const PAUSE: Duration = Duration::from_millis(60);

/// The provider: it signs with the shop's key, and tells any of the hosts.
#[derive(Clone)]
pub struct Provider {
    pub client: Client,
    pub secret: &'static str,
}

impl Provider {
    fn tell(&self, payment: &str, kind: &str, amount: i64, secret: &str) -> Request {
        webhook(&self.client, secret, &format!("{kind} of {payment}"), payment, kind, amount)
    }
}

/// A shopper under way.
pub struct Visit<'a> {
    pub plan: &'a ShopperPlan,
    pub shopper: Shopper,
    pub provider: Provider,
    pub item: &'a Item,
    pub record: Record,
    /// Whether Redis may forget what this shopper was told.
    pub may_be_forgotten: bool,
    /// When even the most patient shopper leaves.
    pub leaves_at: Instant,
}

impl Visit<'_> {
    /// Lives through the whole visit, and gives the log of it.
    pub async fn live(mut self, begun: Instant) -> Record {
        tokio::time::sleep(self.plan.arrives.saturating_sub(begun.elapsed())).await;
        for _ in 0..self.plan.wishes {
            let Some(reservation) = self.reserve().await else { break };
            let Some(held) = self.result(&reservation).await else { continue };
            self.use_hold(&held).await;
            tokio::time::sleep(self.plan.thinks).await;
        }
        self.record
    }

    async fn use_hold(&mut self, held: &Value) {
        tokio::time::sleep(self.plan.thinks).await;
        let reservation = text(held, "id");
        match self.plan.after_hold {
            AfterHold::LetLapse => return,
            AfterHold::GiveBack => {
                let path = format!("/api/reservations/{reservation}");
                self.ask(Call::GiveBack, &[204, 409], |client| client.delete(&path)).await;
                return;
            }
            _ => {}
        }
        let path = format!("/api/reservations/{reservation}/checkout");
        let body =
            json!({ "contact": "shopper@example.com", "address": "1 Racecourse Road, Chengdu", "note": "" });
        let order = self.ask(Call::Checkout, &[201, 409, 410], |client| client.post(&path).json(&body)).await;
        let Some(order) = order.filter(|answer| answer.status == 201).map(|answer| answer.json()) else {
            return;
        };
        tokio::time::sleep(self.plan.thinks).await;
        match self.plan.after_hold {
            AfterHold::Cancel => {
                let path = format!("/api/orders/{}/cancel", text(&order, "id"));
                self.ask(Call::Cancel, &[200, 409], |client| client.post(&path)).await;
            }
            AfterHold::Pay(payment) => self.pay(&order, payment).await,
            _ => {}
        }
        let path = format!("/api/orders/{}", text(&order, "id"));
        self.ask(Call::LookAtOrder, &[200], |client| client.get(&path)).await;
    }

    async fn pay(&mut self, order: &Value, how: Payment) {
        let Some(first) = self.begin_payment(order).await else { return };
        match how {
            Payment::Once => self.succeed(&first, PRICE * self.plan.quantity).await,
            Payment::Twice => {
                self.succeed(&first, PRICE * self.plan.quantity).await;
                self.succeed(&first, PRICE * self.plan.quantity).await;
            }
            Payment::AfterForgery => {
                let forged = "somebody else's key, of more than 32 characters";
                self.tell(&first, "payment.succeeded", PRICE * self.plan.quantity, forged, &[401]).await;
                self.succeed(&first, PRICE * self.plan.quantity).await;
            }
            Payment::SecondAttempt | Payment::BothAttempts => {
                let secret = self.provider.secret;
                self.tell(&first, "payment.failed", PRICE * self.plan.quantity, secret, &[200]).await;
                if let Some(second) = self.begin_payment(order).await {
                    self.succeed(&second, PRICE * self.plan.quantity).await;
                }
                if how == Payment::BothAttempts {
                    self.succeed(&first, PRICE * self.plan.quantity).await;
                }
            }
            Payment::Late => {
                tokio::time::sleep(Duration::from_secs(PAY_SECONDS) + Duration::from_millis(300)).await;
                self.succeed(&first, PRICE * self.plan.quantity).await;
            }
            Payment::WrongAmount => self.succeed(&first, PRICE * self.plan.quantity - 1).await,
        }
    }

    async fn begin_payment(&mut self, order: &Value) -> Option<String> {
        let path = format!("/api/orders/{}/payments", text(order, "id"));
        let answer = self.ask(Call::Pay, &[201, 409], |client| client.post(&path)).await?;
        (answer.status == 201).then(|| text(&answer.json(), "id").to_owned())
    }

    async fn succeed(&mut self, payment: &str, amount: i64) {
        let secret = self.provider.secret;
        if self.tell(payment, "payment.succeeded", amount, secret, &[200]).await {
            self.record.money.push(Money { payment: payment.to_owned(), amount });
        }
    }

    /// Says it again until the shop has heard it, as a provider does. Whether the shop took it.
    async fn tell(&mut self, payment: &str, kind: &str, amount: i64, secret: &str, expected: &[u16]) -> bool {
        let provider = self.provider.clone();
        let request = |_: &Client| provider.tell(payment, kind, amount, secret);
        self.ask(Call::Webhook, expected, request).await.is_some_and(|answer| answer.status == 200)
    }

    /// A reservation that is this shopper's, or nothing where the shop refuses.
    async fn reserve(&mut self) -> Option<Value> {
        let challenge = format!("/api/items/{}/challenges", self.item.id);
        let reserve = format!("/api/items/{}/reservations", self.item.id);
        while Instant::now() < self.leaves_at {
            let asked = self.shopper.client().post(&challenge).try_send().await;
            let Some(asked) = asked.ok().filter(|answer| answer.status != 503) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if asked.status != 201 {
                self.expect(Call::Reserve, &asked, &[403, 410]);
                return None;
            }
            let question = asked.json();
            let token = text(&question, "challenge").to_owned();
            let solution = solve_proof_of_work(&token, question["difficulty"].as_u64().unwrap_or(0));
            let body = json!({ "challenge": token, "answer": solution, "quantity": self.plan.quantity });
            let request = || self.shopper.client().post(&reserve).json(&body);
            let before = Instant::now();
            let answer = if self.plan.double_clicks {
                let (one, other) = tokio::join!(request().try_send(), request().try_send());
                // One of the two may be refused, because the other has used the challenge.
                match (one, other) {
                    (Ok(one), Ok(other)) if one.status == 422 || one.status == 503 => Ok(other),
                    (Ok(one), _) => Ok(one),
                    (Err(_), other) => other,
                }
            } else {
                request().try_send().await
            };
            let Ok(answer) = answer else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            self.note(Call::Reserve, before, &answer);
            match answer.status {
                200..=202 => return Some(answer.json()),
                // The lost try of before has used the challenge; or the item waits.
                422 | 503 => tokio::time::sleep(PAUSE).await,
                _ => {
                    self.expect(Call::Reserve, &answer, &[403, 409, 410]);
                    return None;
                }
            }
        }
        None
    }

    /// Polls until the reservation is decided; it, if it is held.
    async fn result(&mut self, reservation: &Value) -> Option<Value> {
        let path = format!("/api/reservations/{}", text(reservation, "id"));
        loop {
            let answer = self.ask(Call::Poll, &[200], |client| client.get(&path)).await?;
            let now = answer.json();
            match now["state"].as_str() {
                Some("queued") => {
                    let pause = now["poll_after_ms"].as_u64().unwrap_or(100).clamp(20, 400);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Some("held") => return Some(now),
                _ => return None,
            }
        }
    }

    /// Sends a request again until it has a response that is no `unavailable`. Nothing once the shopper has left.
    async fn ask(
        &mut self,
        call: Call,
        expected: &[u16],
        request: impl Fn(&Client) -> Request,
    ) -> Option<Response> {
        while Instant::now() < self.leaves_at {
            let before = Instant::now();
            let answer = if self.plan.double_clicks {
                let client = self.shopper.client();
                let (one, other) = tokio::join!(request(client).try_send(), request(client).try_send());
                if let (Ok(one), Ok(other), false) = (&one, &other, self.may_be_forgotten) {
                    let both = [one.status, other.status];
                    if both.iter().all(|status| *status < 400) && one.status != other.status {
                        self.record.violations.push(format!("a double click on {call:?} got {both:?}"));
                    }
                }
                one.or(other)
            } else {
                request(self.shopper.client()).try_send().await
            };
            if let Ok(answer) = answer {
                self.note(call, before, &answer);
                if answer.status != 503 {
                    self.expect(call, &answer, expected);
                    return Some(answer);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    fn note(&mut self, call: Call, asked: Instant, answer: &Response) {
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let seen = Seen { call, asked, answered: Instant::now(), status: answer.status, body };
        self.record.seen.push(seen);
    }

    fn expect(&mut self, call: Call, answer: &Response, expected: &[u16]) {
        let is_forgotten =
            self.may_be_forgotten && call != Call::Webhook && [404, 409, 410].contains(&answer.status);
        if !expected.contains(&answer.status) && !is_forgotten {
            self.record.violations.push(format!("{call:?} got {answer}"));
        }
    }
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {object}"))
}
