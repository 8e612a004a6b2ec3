use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_tests::{Counters, Item, ItemTerms, Response, Shopper, World, crowd, eventually, orders_in};
use time::OffsetDateTime;

/// Long enough for everything that happens by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shop with one item, and a shopper with an order and a payment begun for it.
async fn paying(world: &World) -> (Item, Shopper, Value, Value) {
    let item = world.seller().publish(&ItemTerms::of(3)).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    let payment = shopper.begin_payment(&order).await.expect(201);
    (item, shopper, order, payment)
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {object}"))
}

fn page(response: &Response) -> String {
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"), "{response}");
    String::from_utf8(response.body.clone()).unwrap()
}

#[track_caller]
fn leads_to(response: &Response, path: &str) {
    assert_eq!((response.status, response.header("location")), (303, Some(path)), "{response}");
}

fn order_path(order: &Value) -> String {
    format!("/orders/{}", text(order, "id"))
}

/// Waits until the order database has the order in this state.
async fn recorded(world: &World, state: &str) {
    let folder = world.state_folder();
    eventually(&format!("the database says {state}"), PATIENCE, async || {
        orders_in(folder).iter().all(|row| row.state == state).then_some(())
    })
    .await;
}

/// Waits until Redis's own clock, by which deadlines go, is past the order's.
async fn deadline_of(world: &World, order: &Value) {
    let format = time::format_description::well_known::Rfc3339;
    let pay_by = OffsetDateTime::parse(text(order, "pay_by"), &format).unwrap().unix_timestamp();
    eventually("the deadline has passed", PATIENCE, async || {
        let (seconds, _): (i64, i64) = world.redis.command(&["TIME"]).await;
        (seconds > pay_by + 1).then_some(())
    })
    .await;
}

// --- The simulated provider ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_payment_that_succeeds_makes_the_order_paid_and_leads_back_to_it() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    assert_eq!(payment["state"], "pending");
    assert_eq!(shopper.look_at_order(&order).await["payment"]["state"], "pending");

    // Anybody who knows the address sees the amount to pay, and nothing of the shopper.
    let pay_url = text(&payment, "pay_url");
    let shown = world.client().get(pay_url).send().await;
    assert_eq!(shown.status, 200, "{shown}");
    let html = page(&shown);
    for part in ["¥399.00", text(&order, "id"), text(&payment, "id"), "value=\"late\""] {
        assert!(html.contains(part), "no {part} in {html}");
    }
    for part in ["Li Ming", "Racecourse", shopper.user_id(), "<script", "style="] {
        assert!(!html.contains(part), "{part} in {html}");
    }
    let policy = shown.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let style = world.client().get("/pay/page.css").send().await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    let chinese = world.client().get(&format!("{pay_url}?lang=zh-CN")).send().await;
    assert!(page(&chinese).contains("应付金额"));
    let by_browser = world.client().get(pay_url).header("accept-language", "zh-CN,zh;q=0.9").send().await;
    assert_eq!(page(&by_browser), page(&chinese));

    leads_to(&shopper.choose(&payment, "succeeded").await, &order_path(&order));
    let paid = shopper.look_at_order(&order).await;
    assert_eq!((&paid["state"], &paid["payment"]["state"]), (&json!("paid"), &json!("succeeded")), "{paid}");
    world
        .seller()
        .expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2))
        .await;
    recorded(&world, "paid").await;

    // A choice is final.
    leads_to(&shopper.choose(&payment, "failed").await, &order_path(&order));
    assert_eq!(shopper.look_at_order(&order).await["state"], "paid");
    let html = page(&world.client().get(pay_url).send().await);
    assert!(html.contains("data-step=\"delivered\"") && !html.contains("<form"), "{html}");
    shopper.begin_payment(&order).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn after_a_failed_payment_the_order_is_paid_by_a_new_attempt() {
    let world = World::start().await;
    let (item, shopper, order, first) = paying(&world).await;
    assert_eq!(shopper.begin_payment(&order).await.expect(201), first, "a second click is the same payment");
    leads_to(&shopper.choose(&first, "failed").await, &order_path(&order));
    let unpaid = shopper.look_at_order(&order).await;
    assert_eq!(unpaid["state"], "unpaid");
    assert_eq!(unpaid["payment"], json!({ "id": first["id"], "state": "failed" }));

    let second = shopper.begin_payment(&order).await.expect(201);
    assert_ne!(second["id"], first["id"]);
    leads_to(&shopper.choose(&second, "succeeded").await, &order_path(&order));
    assert_eq!(shopper.look_at_order(&order).await["state"], "paid");
    world
        .seller()
        .expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2))
        .await;
    recorded(&world, "paid").await;
}

#[tokio::test]
async fn of_many_choices_at_once_one_stands() {
    let world = World::start().await;
    let (_, shopper, order, payment) = paying(&world).await;
    let responses = crowd(20, 20, |number| {
        let request = shopper.choice_request(&payment, if number % 2 == 0 { "succeeded" } else { "failed" });
        async move { request.send().await }
    })
    .await;
    assert!(responses.iter().all(|response| response.status == 303), "{responses:?}");
    let settled = eventually("the shop knows", PATIENCE, async || {
        let order = shopper.look_at_order(&order).await;
        (order["payment"]["state"] != "pending").then_some(order)
    })
    .await;
    let record: String = world.redis.command(&["HGET", "{provider}:payments", text(&payment, "id")]).await;
    let fields: Vec<&str> = record.split('|').collect();
    assert_eq!(settled["payment"]["state"], fields[4], "{record}");
    assert_eq!(settled["state"] == "paid", fields[4] == "succeeded");
}

#[tokio::test]
async fn a_success_after_the_deadline_is_told_by_itself_and_the_money_is_due_back() {
    let world = World::builder().set("pay_seconds", 5).start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    let waiting = format!("{}?lang=en", text(&payment, "pay_url"));
    leads_to(&shopper.choose(&payment, "late").await, &waiting);
    let html = page(&world.client().get(&waiting).send().await);
    assert!(html.contains("data-step=\"due\"") && html.contains("You may close this page"), "{html}");

    // The shopper has left the page.
    let late = shopper.wait_for_order(&order, "refund_due").await;
    assert_eq!(late["payment"]["state"], "succeeded", "{late}");
    recorded(&world, "refund_due").await;
    world.seller().expect_counters(&item, Counters::untouched(3)).await;
    let refund = format!("/api/admin/orders/{}/refund", text(&order, "id"));
    assert_eq!(world.seller().client().post(&refund).send().await.expect(200)["state"], "refunded");
}

#[tokio::test]
async fn what_was_chosen_outlives_a_killed_host() {
    let mut world = World::builder().set("pay_seconds", 5).start().await;
    let (_, shopper, order, payment) = paying(&world).await;
    assert_eq!(shopper.choose(&payment, "late").await.status, 303);
    world.host.kill9();
    // The provider's alarm lapses while nobody listens.
    deadline_of(&world, &order).await;
    eventually("the alarm has lapsed", PATIENCE, async || {
        let there: i64 = world.redis.command(&["EXISTS", "{provider}:alarm"]).await;
        (there == 0).then_some(())
    })
    .await;
    world.host.restart().await;
    shopper.wait_for_order(&order, "refund_due").await;
}

#[tokio::test]
async fn a_shop_that_does_not_answer_is_told_again_until_it_does() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    // The response to the webhook is 503 while the lane's counters are gone; nothing else needs them now.
    let lane = format!("{{{}:0}}:lane", item.id);
    let _: String = world.redis.command(&["RENAME", &lane, "aside"]).await;
    let waiting = format!("{}?lang=en", text(&payment, "pay_url"));
    leads_to(&shopper.choose(&payment, "succeeded").await, &waiting);
    let _: String = world.redis.command(&["RENAME", "aside", &lane]).await;
    let record: String = world.redis.command(&["HGET", "{provider}:payments", text(&payment, "id")]).await;
    let failed: Vec<&str> = record.split('|').collect();
    assert_eq!((failed[0], failed[6], failed[7]), ("due", "1", "503"), "{record}");

    // The provider sends it again by itself, with the same event.
    shopper.wait_for_order(&order, "paid").await;
    let record = eventually("the provider knows that the shop knows", PATIENCE, async || {
        let record: String =
            world.redis.command(&["HGET", "{provider}:payments", text(&payment, "id")]).await;
        record.starts_with("delivered|").then_some(record)
    })
    .await;
    let delivered: Vec<&str> = record.split('|').collect();
    assert_eq!((delivered[5], delivered[7]), (failed[5], "200"), "{record}");
    assert!(delivered[6].parse::<u32>().unwrap() >= 2, "{record}");
}

#[tokio::test]
async fn a_refusal_of_the_shop_is_final_and_shown() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    // The shop has lost this order.
    let (_, tail) = text(&order, "id").rsplit_once('-').unwrap();
    let orders = format!("{{{}:0}}:orders", item.id);
    let record: String = world.redis.command(&["HGET", &orders, tail]).await;
    let _: i64 = world.redis.command(&["HDEL", &orders, tail]).await;
    let waiting = format!("{}?lang=en", text(&payment, "pay_url"));
    leads_to(&shopper.choose(&payment, "succeeded").await, &waiting);
    let html = page(&world.client().get(&waiting).send().await);
    assert!(html.contains("data-step=\"refused\"") && html.contains("404 not-found"), "{html}");
    let _: i64 = world.redis.command(&["HSET", &orders, tail, &record]).await;
    assert_eq!(world.seller().tick().await["delivered"], 0);
    assert_eq!(shopper.look_at_order(&order).await["state"], "unpaid");
}

#[tokio::test]
async fn without_alarms_ticks_deliver_what_is_due() {
    let world = World::builder().without_doorbells().set("pay_seconds", 5).start().await;
    let (_, shopper, order, payment) = paying(&world).await;
    assert_eq!(shopper.choose(&payment, "late").await.status, 303);
    assert_eq!(world.seller().tick().await["delivered"], 0);
    deadline_of(&world, &order).await;
    let delivered = eventually("a tick delivers", PATIENCE, async || {
        let ticked = world.seller().tick().await;
        assert_eq!(ticked["failures"], json!([]));
        ticked["delivered"].as_u64().filter(|delivered| *delivered > 0)
    })
    .await;
    assert_eq!(delivered, 1);
    assert_eq!(shopper.look_at_order(&order).await["state"], "refund_due");
}

#[tokio::test]
async fn nothing_else_is_a_payment_or_a_choice() {
    let world = World::start().await;
    let (_, shopper, order, payment) = paying(&world).await;
    let pay_url = text(&payment, "pay_url");
    let next_attempt = pay_url.strip_suffix('1').unwrap().to_owned() + "2";
    for unknown in ["/pay/x", "/pay/p-i0000000000-0-000000000000-1", &next_attempt, &format!("{pay_url}%20")]
    {
        let shown = world.client().get(unknown).send().await;
        assert_eq!(shown.status, 404, "{shown}");
        assert!(page(&shown).contains("No such payment"), "{shown}");
        let chosen = shopper.choose(&json!({ "pay_url": unknown }), "succeeded").await;
        assert_eq!(chosen.status, 404, "{chosen}");
    }
    world.client().get(&format!("{pay_url}/x")).send().await.expect_problem(404, "not-found");
    let form = "application/x-www-form-urlencoded";
    let post = |body: &str| world.client().post(pay_url).header("content-type", form).body(body.to_owned());
    for body in
        ["", "outcome=", "outcome=paid", "outcome=succeeded&amount=1", "outcome=failed&outcome=succeeded"]
    {
        post(body).send().await.expect_problem(422, "invalid");
    }
    post("outcome=%zz").send().await.expect_problem(400, "malformed");
    let json = world.client().post(pay_url).json(&json!({ "outcome": "succeeded" })).send().await;
    json.expect_problem(415, "unsupported-media-type");
    let put = world.client().put(pay_url).send().await;
    put.expect_problem(405, "method-not-allowed");
    assert_eq!(put.header("allow"), Some("GET, HEAD, POST"));
    world.client().get("/pay/deliveries").send().await.expect_problem(405, "method-not-allowed");
    let round = world.client().post("/pay/deliveries").send().await.expect(200);
    assert_eq!(round, json!({ "delivered": 0, "refused": 0, "failed": 0 }));
    let unpaid = shopper.look_at_order(&order).await;
    assert_eq!((&unpaid["state"], &unpaid["payment"]["state"]), (&json!("unpaid"), &json!("pending")));
}

// --- Real providers -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn with_a_real_provider_its_page_is_filled_in_and_the_simulated_one_is_not_there() {
    let world = World::builder()
        .set("payment_provider", "webhook")
        .set(
            "payment_url",
            "https://pay.example.org/{payment_id}?order={order_id}&sum={amount}&in={currency}",
        )
        .start()
        .await;
    let (_, shopper, order, payment) = paying(&world).await;
    let (id, order_id) = (text(&payment, "id"), text(&order, "id"));
    let expected = format!("https://pay.example.org/{id}?order={order_id}&sum=39900&in=CNY");
    assert_eq!(payment["pay_url"], expected.as_str());

    let page = json!({ "pay_url": format!("/pay/{id}") });
    shopper.choose(&page, "succeeded").await.expect_problem(404, "not-found");
    for path in [format!("/pay/{id}"), "/pay/page.css".to_owned()] {
        world.client().get(&path).send().await.expect_problem(404, "not-found");
    }
    world.client().post("/pay/deliveries").send().await.expect_problem(404, "not-found");
    let keys: Vec<String> = world.redis.command(&["KEYS", "{provider}:*"]).await;
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(shopper.look_at_order(&order).await["state"], "unpaid");

    let event = Event::of(&order, &payment, "payment.succeeded");
    assert_eq!(event.send(&world).await.expect(200)["state"], "paid");
}

#[tokio::test]
async fn settings_without_sense_begin_no_payment() {
    for (provider, url) in
        [("stripe", ""), ("webhook", ""), ("webhook", "https://pay.example.org/{order_id}")]
    {
        let world = World::builder().set("payment_provider", provider).set("payment_url", url).start().await;
        let item = world.seller().publish(&ItemTerms::of(1)).await;
        let shopper = world.shopper().await;
        let order = shopper.order(&item).await;
        let begun =
            shopper.client().post(&format!("/api/orders/{}/payments", text(&order, "id"))).send().await;
        begun.expect_problem(503, "unavailable");
        assert_eq!(shopper.look_at_order(&order).await.get("payment"), None);
    }
}

// --- The webhook ------------------------------------------------------------------------------------------------------------

/// A webhook that a provider would send, and how it is signed.
#[derive(Clone)]
struct Event {
    body: Value,
    /// Seconds from now.
    signed: i64,
    secret: Option<&'static str>,
}

impl Event {
    fn of(order: &Value, payment: &Value, kind: &str) -> Event {
        let body = json!({
            "event_id": "evt-1",
            "payment_id": payment["id"],
            "order_id": order["id"],
            "type": kind,
            "amount": order["total"],
        });
        Event { body, signed: 0, secret: None }
    }

    fn with(&self, name: &str, value: Value) -> Event {
        let mut event = self.clone();
        event.body[name] = value;
        event
    }

    async fn send(&self, world: &World) -> Response {
        let body = self.body.to_string();
        let time = OffsetDateTime::now_utc().unix_timestamp() + self.signed;
        let secret = self.secret.unwrap_or(world.webhook_secret());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = world.client().post("/api/payments/webhook").header("content-type", "application/json");
        request.header("stampede-signature", &format!("t={time},v1={hex}")).body(body).send().await
    }
}

#[tokio::test]
async fn a_webhook_that_is_not_right_changes_nothing_and_says_why() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    let right = Event::of(&order, &payment, "payment.succeeded");
    let unknown_payment = format!("{}9", text(&payment, "id"));
    let unknown_order = "o-i0000000000-0-000000000000";

    let forged = Event { secret: Some("another secret of at least 32 characters"), ..right.clone() };
    forged.send(&world).await.expect_problem(401, "bad-signature");
    for signed in [-301, -86_400, 302] {
        Event { signed, ..right.clone() }.send(&world).await.expect_problem(401, "stale-signature");
    }
    let unsigned = world.client().post("/api/payments/webhook").json(&right.body).send().await;
    unsigned.expect_problem(401, "bad-signature");
    for (name, value) in [
        ("payment_id", json!(unknown_payment)),
        ("payment_id", json!("p-i0000000000-0-000000000000-1")),
        ("payment_id", json!("x")),
        ("order_id", json!(unknown_order)),
        ("order_id", json!("x")),
    ] {
        right.with(name, value).send(&world).await.expect_problem(404, "not-found");
    }
    for (name, value) in [
        ("amount", json!(39_899)),
        ("amount", json!({ "amount": 39_901, "currency": "CNY" })),
        ("amount", json!({ "amount": 39_900, "currency": "USD" })),
        ("amount", json!("39900")),
        ("type", json!("payment.refunded")),
        ("event_id", json!("")),
        ("event_id", json!("e".repeat(256))),
        ("surprise", json!(true)),
    ] {
        let refused = right.with(name, value.clone()).send(&world).await;
        let field = refused.expect_problem(422, "invalid")["errors"][0]["field"].clone();
        assert!(field.as_str().is_some_and(|field| field.starts_with(name)), "{name} {value}: {field}");
    }

    let unpaid = shopper.look_at_order(&order).await;
    assert_eq!((&unpaid["state"], &unpaid["payment"]["state"]), (&json!("unpaid"), &json!("pending")));
    world.seller().expect_counters(&item, Counters::ordered(3, 1)).await;
}

#[tokio::test]
async fn a_webhook_is_taken_once_however_often_it_comes() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    let right = Event::of(&order, &payment, "payment.succeeded");
    let responses = crowd(10, 10, |_| {
        let (right, world) = (&right, &world);
        async move { right.send(world).await.expect(200) }
    })
    .await;
    assert_eq!(responses.iter().filter(|response| response["changed"] == true).count(), 1, "{responses:?}");
    for response in &responses {
        assert_eq!(
            (&response["event_id"], &response["state"]),
            (&json!("evt-1"), &json!("paid")),
            "{response}"
        );
    }
    // The payment keeps its outcome, whatever another webhook names, leaves out, or says of the amount.
    for event in [
        right.with("event_id", json!("evt-2")),
        right.with("type", json!("payment.failed")),
        right.with("amount", json!(39_900)),
    ] {
        let response = event.send(&world).await.expect(200);
        assert_eq!((&response["changed"], &response["state"]), (&json!(false), &json!("paid")), "{response}");
    }
    assert_eq!(shopper.look_at_order(&order).await["state"], "paid");
    world
        .seller()
        .expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2))
        .await;
    recorded(&world, "paid").await;
}
