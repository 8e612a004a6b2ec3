//! The operator, who acts while shoppers come and things break.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stampede_tests::{Item, Request, Response, Seller};

use crate::plan::{Act, At};

const PAUSE: Duration = Duration::from_millis(80);

/// What the operator was told.
pub struct Desk {
    /// The stock that the shop confirmed last.
    pub total: i64,
    pub violations: Vec<String>,
}

/// Does the plan's acts in time, each again until the shop has confirmed or refused it.
pub async fn act(acts: &[At<Act>], begun: Instant, seller: &Seller, item: &Item, stock: i64) -> Desk {
    let mut desk = Desk { total: stock, violations: Vec::new() };
    let base = format!("/api/admin/items/{}", item.id);
    for act in acts {
        tokio::time::sleep(act.at.saturating_sub(begun.elapsed())).await;
        let client = seller.client();
        let post = |verb: &str| client.post(&format!("{base}/{verb}"));
        match act.what {
            Act::Pause(lasts) => {
                desk.expect(insist(|| post("pause")).await, &[200]);
                tokio::time::sleep(lasts).await;
                desk.expect(insist(|| post("resume")).await, &[200]);
            }
            Act::SetTotal(total) => {
                let answer = insist(|| post("stock").json(&json!({ "total": total }))).await;
                if answer.status == 200 {
                    desk.total = total;
                }
                // A cut below what is taken is refused.
                desk.expect(answer, &[200, 409]);
            }
            Act::Tick => desk.expect(insist(|| client.post("/internal/tick")).await, &[200]),
            // In the middle of things an audit may find the order database behind; it must answer.
            Act::Audit => desk.expect(insist(|| post("audit")).await, &[200]),
        }
    }
    desk
}

impl Desk {
    /// Makes the last decisions again, as an operator would who sees that Redis has forgotten them.
    pub async fn decide_again(&mut self, seller: &Seller, item: &Item) {
        let client = seller.client();
        let post = |verb: &str| client.post(&format!("/api/admin/items/{}/{verb}", item.id));
        // An item that is not paused, or that is over, is not resumed.
        self.expect(insist(|| post("resume")).await, &[200, 409]);
        let total = self.total;
        let answer = insist(|| post("stock").json(&json!({ "total": total }))).await;
        if answer.status == 409 {
            // Sold meanwhile, from the stock that Redis went back to.
            self.total = stats(seller, item).await["total"].as_i64().unwrap_or(total);
        }
        self.expect(answer, &[200, 409]);
    }

    fn expect(&mut self, answer: Response, expected: &[u16]) {
        if !expected.contains(&answer.status) {
            self.violations.push(format!("the operator got {answer}"));
        }
    }
}

async fn insist(request: impl Fn() -> Request) -> Response {
    loop {
        if let Ok(answer) = request().try_send().await
            && answer.status != 503
        {
            return answer;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The item's counters and what else `stats` tells.
pub async fn stats(seller: &Seller, item: &Item) -> Value {
    let path = format!("/api/admin/items/{}/stats", item.id);
    insist(|| seller.client().get(&path)).await.expect(200)
}

/// The recount of everything, compared with the order database.
pub async fn audit(seller: &Seller, item: &Item) -> Value {
    let path = format!("/api/admin/items/{}/audit", item.id);
    insist(|| seller.client().post(&path)).await.expect(200)
}

/// All money that is to go back, or went.
pub async fn refunds(seller: &Seller) -> Vec<Value> {
    let answer = insist(|| seller.client().get("/api/admin/refunds?page_size=100")).await.expect(200);
    answer["refunds"].as_array().cloned().unwrap_or_default()
}
