//! Calls that are sent again: nothing is doubled.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stampede_tests::{Client, Item, ItemTerms, Request, Response, Shopper, World};

use crate::provider::Provider;

/// Sends every call twice, and remembers which calls there were.
struct Repeater {
    world: World,
    operator: Client,
    shoppers: Vec<Shopper>,
    /// The item that is sold.
    item: Item,
    sent: BTreeSet<(String, String)>,
}

impl Repeater {
    /// How many there are of everything that a call may make or move.
    async fn counts(&self) -> Value {
        let total = async |path: &str| self.operator.get(path).send().await.expect(200)["total"].clone();
        let mut orders = 0;
        for shopper in &self.shoppers {
            orders += shopper.orders().await.len();
        }
        let counters = match self
            .operator
            .get(&format!("/api/admin/items/{}/stats", self.item.id))
            .send()
            .await
        {
            stats if stats.status == 200 => {
                let stats = stats.json();
                json!([stats["total"], stats["available"], stats["held"], stats["ordered"], stats["sold"]])
            }
            _ => Value::Null,
        };
        let blocked = self.operator.get("/api/admin/blocklist").send().await.expect(200);
        json!({
            "sales": total("/api/admin/sales").await,
            "items": total(&format!("/api/admin/sales/{}/items", self.item.sale_id)).await,
            // A repeated block renews its moment.
            "blocked": blocked["blocked"].as_array().unwrap().len(),
            "rules": self.operator.get("/api/admin/rules").send().await.expect(200)["version"],
            "orders": orders,
            "units": counters,
        })
    }

    /// Sends `request` twice. The second changes nothing, and no response is a failure of ours. Returns both responses.
    async fn twice(&mut self, call: &str, request: impl Fn() -> Request) -> [Response; 2] {
        let (method, template) = call.split_once(' ').unwrap();
        self.sent.insert((method.to_lowercase(), template.to_owned()));
        let first = request().send().await;
        let after_first = self.counts().await;
        let second = request().send().await;
        assert!(first.status < 500 && second.status < 500, "{call}: {first} then {second}");
        assert_eq!(self.counts().await, after_first, "{call} changed something the second time: {second}");
        [first, second]
    }

    /// A call that both times does what it is for.
    async fn again(&mut self, call: &str, status: u16, request: impl Fn() -> Request) -> Value {
        let [first, second] = self.twice(call, request).await;
        second.expect(second.status);
        assert!((200..300).contains(&second.status), "{call}: {second}");
        first.expect(status)
    }

    /// A call that both times is answered 204.
    async fn again_without_body(&mut self, call: &str, request: impl Fn() -> Request) {
        for response in self.twice(call, request).await {
            assert_eq!(response.status, 204, "{call}: {response}");
        }
    }

    /// A call of the operator under a key: the response is the first one, to the byte.
    async fn keyed(&mut self, call: &str, status: u16, path: &str, body: &Value) -> Value {
        let key = format!("\"key of {}\"", path.len()).replace(' ', "-");
        let client = self.operator.clone();
        let [first, second] =
            self.twice(call, || client.post(path).header("idempotency-key", &key).json(body)).await;
        assert_eq!((second.status, second.json()), (first.status, first.json()), "{call}");
        for header in ["location", "etag"] {
            assert_eq!(second.header(header), first.header(header), "{call}");
        }
        // The same key without quotation marks is the same key; with another body it is refused.
        let bare = key.trim_matches('"');
        let third = client.post(path).header("idempotency-key", bare).json(body).send().await;
        assert_eq!(third.json(), first.json());
        let mut other = body.clone();
        let (name, value) =
            if body.get("add").is_some() { ("add", json!(7)) } else { ("title", json!("Other")) };
        other[name] = value;
        let reused = client.post(path).header("idempotency-key", bare).json(&other).send().await;
        reused.expect_problem(422, "idempotency-key-reused");
        first.expect(status)
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no id in {object}")).to_owned()
}

#[tokio::test]
async fn every_call_of_the_contract_can_be_sent_twice_and_doubles_nothing() {
    let world = World::builder().set("captcha_kind", "off").start().await;
    let operator = world.seller().client().clone();
    let terms = ItemTerms::of(10).instant();
    let item = world.seller().publish(&terms).await;
    let shoppers = world.shoppers(3).await;
    let mut all =
        Repeater { operator: operator.clone(), shoppers, item: item.clone(), world, sent: BTreeSet::new() };

    // The catalogue.
    let sale_body = json!({
        "title": "Sunday Sprint",
        "starts_at": stampede_tests::timestamp_in(-3600.0), "ends_at": stampede_tests::timestamp_in(6.0 * 3600.0),
    });
    let sale = all.keyed("POST /api/admin/sales", 201, "/api/admin/sales", &sale_body).await;
    let items = format!("/api/admin/sales/{}/items", id(&sale));
    let draft = all.keyed("POST /api/admin/sales/{id}/items", 201, &items, &terms.body()).await;
    let made = operator.get(&items).send().await.expect(200);
    assert_eq!(made["total"], 1, "{made}");
    let stock = format!("/api/admin/items/{}/stock", item.id);
    let stocked = all.keyed("POST /api/admin/items/{id}/stock", 200, &stock, &json!({ "add": 10 })).await;
    assert_eq!(stocked["total"], 20);

    let sale_path = format!("/api/admin/sales/{}", id(&sale));
    let draft_path = format!("/api/admin/items/{}", id(&draft));
    for (call, path, body) in [
        ("PUT /api/admin/sales/{id}", &sale_path, &sale_body),
        ("PUT /api/admin/items/{id}", &draft_path, &terms.body()),
    ] {
        let [first, second] =
            all.twice(call, || operator.put(path).header("if-match", "\"1\"").json(body)).await;
        first.expect(200);
        second.expect_problem(412, "version-mismatch");
    }
    let item_path = format!("/api/admin/items/{}", item.id);
    for step in ["publish", "pause", "resume"] {
        let path = format!("{item_path}/{step}");
        all.again(&format!("POST /api/admin/items/{{id}}/{step}"), 200, || operator.post(&path)).await;
    }
    let item_rules = format!("{item_path}/rules");
    for (call, path) in [
        ("PUT /api/admin/rules", "/api/admin/rules"),
        ("PUT /api/admin/items/{id}/rules", item_rules.as_str()),
    ] {
        let body = json!({ "queue_factor": 50 });
        let [first, second] =
            all.twice(call, || operator.put(path).header("if-match", "\"0\"").json(&body)).await;
        first.expect(200);
        second.expect_problem(412, "version-mismatch");
    }
    let block = "/api/admin/blocklist/address/203.0.113.9";
    all.again("PUT /api/admin/blocklist/{kind}/{value}", 204, || {
        operator.put(block).json(&json!({ "reason": "bot" }))
    })
    .await;
    all.twice("DELETE /api/admin/blocklist/{kind}/{value}", || operator.delete(block)).await;

    for (call, path) in
        [("DELETE /api/admin/items/{id}", &draft_path), ("DELETE /api/admin/sales/{id}", &sale_path)]
    {
        let version = operator.get(path).send().await.expect(200)["version"].clone();
        all.again_without_body(call, || operator.delete(path).header("if-match", &format!("\"{version}\"")))
            .await;
    }

    // A shopper who buys, one who gives back, and one who cancels.
    let stranger = all.world.client();
    all.twice("POST /api/session", || stranger.post("/api/session").json(&json!({}))).await;
    let [buyer, second, third] = [0, 1, 2].map(|number| all.shoppers[number].client().clone());
    let provider = Provider::of(&all.world);
    let challenges = format!("/api/items/{}/challenges", item.id);
    all.twice("POST /api/items/{id}/challenges", || buyer.post(&challenges).json(&json!({}))).await;
    let wishes = format!("/api/items/{}/reservations", item.id);
    let mut reservations = Vec::new();
    for client in [&buyer, &second, &third] {
        let [first, again] = all
            .twice("POST /api/items/{id}/reservations", || {
                client.post(&wishes).json(&json!({ "quantity": 1 }))
            })
            .await;
        assert!((200..300).contains(&first.status), "{first}");
        assert_eq!(id(&again.json()), id(&first.json()));
        reservations.push(format!("/api/reservations/{}", id(&first.json())));
    }
    all.again("GET /api/reservations/{id}", 200, || buyer.get(&reservations[0])).await;
    all.twice("DELETE /api/reservations/{id}", || second.delete(&reservations[1])).await;
    let contact = json!({ "contact": "Li Ming", "address": "1 Racecourse Rd" });
    let mut orders = Vec::new();
    for (client, reservation) in [(&buyer, &reservations[0]), (&third, &reservations[2])] {
        let path = format!("{reservation}/checkout");
        let [first, again] =
            all.twice("POST /api/reservations/{id}/checkout", || client.post(&path).json(&contact)).await;
        assert_eq!(id(&again.json()), id(&first.expect(201)));
        orders.push(format!("/api/orders/{}", id(&first.json())));
    }
    all.again("GET /api/orders", 200, || buyer.get("/api/orders")).await;
    all.again("GET /api/orders/{id}", 200, || buyer.get(&orders[0])).await;
    let what = format!("{}/item", orders[0]);
    all.again("GET /api/orders/{id}/item", 200, || buyer.get(&what)).await;
    let cancel = format!("{}/cancel", orders[1]);
    all.again("POST /api/orders/{id}/cancel", 200, || third.post(&cancel)).await;
    let pay = format!("{}/payments", orders[0]);
    let [payment, again] = all.twice("POST /api/orders/{id}/payments", || buyer.post(&pay)).await;
    let payment = payment.expect(201);
    assert_eq!(id(&again.json()), id(&payment));
    all.again("POST /api/payments/webhook", 200, || provider.tell(&payment, "payment.succeeded", 39900))
        .await;

    // The books. Nothing is due and nothing was set aside, so these are refused both times.
    let refund = format!("/api/admin/payments/{}/refund", id(&payment));
    all.twice("POST /api/admin/payments/{id}/refund", || operator.post(&refund)).await;
    let refund = format!("{}/refund", orders[0].replace("/api/", "/api/admin/"));
    all.twice("POST /api/admin/orders/{id}/refund", || operator.post(&refund)).await;
    let erase = format!("{}/personal-data", orders[0].replace("/api/", "/api/admin/"));
    all.again("DELETE /api/admin/orders/{id}/personal-data", 204, || operator.delete(&erase)).await;
    let erase = format!("/api/admin/shoppers/{}/personal-data", all.shoppers[2].user_id());
    let [first, again] =
        all.twice("DELETE /api/admin/shoppers/{user}/personal-data", || operator.delete(&erase)).await;
    assert_eq!((first.expect(200), again.expect(200)), (json!({ "orders": 1 }), json!({ "orders": 0 })));
    for step in ["claim", "settle"] {
        let path = format!("/api/admin/refunds/{}/{step}", id(&payment));
        all.twice(&format!("POST /api/admin/refunds/{{id}}/{step}"), || operator.post(&path)).await;
    }
    let key = json!({ "item_id": item.id, "lane": 0, "stream_id": "1-0" });
    all.twice("POST /api/admin/set-aside/dismiss", || {
        operator.post("/api/admin/set-aside/dismiss").json(&key)
    })
    .await;
    let missing = json!({ "item_id": item.id, "lane": 0, "up_to": 1 });
    all.twice("POST /api/admin/set-aside/pass-over", || {
        operator.post("/api/admin/set-aside/pass-over").json(&missing)
    })
    .await;
    for path in ["/api/admin/set-aside/retry", "/api/admin/reconcile", "/internal/tick"] {
        all.again(&format!("POST {path}"), 200, || operator.post(path)).await;
    }
    for step in ["audit", "reconcile"] {
        let path = format!("{item_path}/{step}");
        all.again(&format!("POST /api/admin/items/{{id}}/{step}"), 200, || operator.post(&path)).await;
    }

    // Reading.
    let sale_items = format!("/api/admin/sales/{}/items", item.sale_id);
    for (template, path) in [
        ("/api/sales", "/api/sales"),
        ("/api/sales/{id}", &format!("/api/sales/{}", item.sale_id)),
        ("/api/items/{id}", &format!("/api/items/{}", item.id)),
        ("/api/openapi.json", "/api/openapi.json"),
        ("/api/admin/sales", "/api/admin/sales"),
        ("/api/admin/sales/{id}", &format!("/api/admin/sales/{}", item.sale_id)),
        ("/api/admin/sales/{id}/items", &sale_items),
        ("/api/admin/items/{id}", &item_path),
        ("/api/admin/items/{id}/stats", &format!("{item_path}/stats")),
        ("/api/admin/rules", "/api/admin/rules"),
        ("/api/admin/items/{id}/rules", &item_rules),
        ("/api/admin/log", "/api/admin/log"),
        ("/api/admin/blocklist", "/api/admin/blocklist"),
        ("/api/admin/refunds", "/api/admin/refunds"),
        ("/api/admin/set-aside", "/api/admin/set-aside"),
        ("/api/admin/orders", "/api/admin/orders"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/metrics", "/metrics"),
    ] {
        all.twice(&format!("GET {template}"), || operator.get(path)).await;
    }
    let close = format!("{item_path}/close");
    all.again("POST /api/admin/items/{id}/close", 200, || operator.post(&close)).await;

    let archive = format!("/api/admin/sales/{}/archive", item.sale_id);
    let archived = all.again("POST /api/admin/sales/{id}/archive", 200, || operator.post(&archive)).await;
    assert_eq!(archived["archived"], true);

    let units = all.counts().await["units"].clone();
    assert_eq!(units, json!([20, 19, 0, 0, 1]), "one was sold");
    let document = operator.get("/api/openapi.json").send().await.expect(200);
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, calls)| {
            calls.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(all.sent, described, "every call of the contract is sent");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_by_name() {
    let world = World::start().await;
    let operator = world.seller().client().clone();
    let too_long = "k".repeat(129);
    for key in ["", "two words", "\"open", too_long.as_str()] {
        let request = operator.post("/api/admin/sales").header("idempotency-key", key).json(&json!({}));
        let problem = request.send().await.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key", "{key}");
    }
}

#[tokio::test]
async fn twenty_repeats_at_once_add_their_stock_once() {
    let (world, item) = World::selling(5).await;
    let operator = world.seller().client().clone();
    let path = format!("/api/admin/items/{}/stock", item.id);
    let responses = stampede_tests::crowd(20, 20, |_| {
        let request =
            operator.post(&path).header("idempotency-key", "delivery-17").json(&json!({ "add": 10 }));
        async move { request.send().await }
    })
    .await;
    for response in responses {
        assert_eq!(response.expect(200)["total"], 15);
    }
    assert_eq!(world.seller().counters(&item).await.total, 15);
}
