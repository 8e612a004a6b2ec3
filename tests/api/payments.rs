use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_tests::{Counters, Item, ItemTerms, Response, Shopper, World, crowd, eventually, orders_in};
use time::OffsetDateTime;

/// Long enough for everything that happens by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The key of links to a real provider's page.
const LINK_SECRET: &str = "a link secret of at least 32 characters";

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
    let (_, shopper, order, payment) = paying(&world).await;
    // The provider has this payment without its amount.
    let (payments, id) = ("{provider}:payments", text(&payment, "id"));
    let record: String = world.redis.command(&["HGET", payments, id]).await;
    let without = record.replacen("|39900|", "|0|", 1);
    assert_ne!(without, record);
    let _: i64 = world.redis.command(&["HSET", payments, id, &without]).await;
    let waiting = format!("{}?lang=en", text(&payment, "pay_url"));
    leads_to(&shopper.choose(&payment, "succeeded").await, &waiting);
    let html = page(&world.client().get(&waiting).send().await);
    assert!(html.contains("data-step=\"refused\"") && html.contains("422 invalid"), "{html}");
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
            "https://pay.example.org/{payment_id}?order={order_id}&sum={amount}&in={currency}&until={pay_by}&by={signature}",
        )
        .set("payment_link_secret", LINK_SECRET)
        .start()
        .await;
    let (_, shopper, order, payment) = paying(&world).await;
    let (id, order_id) = (text(&payment, "id"), text(&order, "id"));
    let format = time::format_description::well_known::Rfc3339;
    let until = OffsetDateTime::parse(text(&order, "pay_by"), &format).unwrap().unix_timestamp();
    let signature = hmac_of(LINK_SECRET, &format!("{id}.{order_id}.39900.CNY.{until}"));
    let expected = format!(
        "https://pay.example.org/{id}?order={order_id}&sum=39900&in=CNY&until={until}&by={signature}"
    );
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
    let signed = "https://pay.example.org/{payment_id}?sum={amount}&by={signature}";
    for (provider, url) in [
        ("", ""),
        ("stripe", ""),
        ("webhook", ""),
        ("webhook", "https://pay.example.org/{order_id}"),
        // A shopper could change this amount.
        ("webhook", "https://pay.example.org/{payment_id}?sum={amount}"),
        // This world has no key for links.
        ("webhook", signed),
    ] {
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

fn hmac_of(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

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
        let hex = hmac_of(secret, &format!("{time}.{body}"));
        let request = world.client().post("/api/payments/webhook").header("content-type", "application/json");
        request.header("stampede-signature", &format!("t={time},v1={hex}")).body(body).send().await
    }
}

#[tokio::test]
async fn a_webhook_that_is_not_right_changes_nothing_and_says_why() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    let right = Event::of(&order, &payment, "payment.succeeded");

    let forged = Event { secret: Some("another secret of at least 32 characters"), ..right.clone() };
    forged.send(&world).await.expect_problem(401, "bad-signature");
    for signed in [-301, -86_400, 302] {
        Event { signed, ..right.clone() }.send(&world).await.expect_problem(401, "stale-signature");
    }
    let unsigned = world.client().post("/api/payments/webhook").json(&right.body).send().await;
    unsigned.expect_problem(401, "bad-signature");
    for (name, value) in [
        ("amount", json!(0)),
        ("amount", json!(-39_900)),
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

// --- Money that matches nothing, and refunds ------------------------------------------------------------------------------

#[tokio::test]
async fn money_that_matches_nothing_is_recorded_and_goes_back_once() {
    let world = World::start().await;
    let (item, shopper, order, payment) = paying(&world).await;
    let (_, _, other_order, _) = paying(&world).await;
    let operator = world.seller().client().clone();
    let right = Event::of(&order, &payment, "payment.succeeded");
    let attempt = format!("{}9", text(&payment, "id"));
    let nowhere = right
        .with("payment_id", json!("p-i0000000000-0-000000000000-1"))
        .with("order_id", json!("o-i0000000000-0-000000000000"));
    let never = format!("o{}zzzzzzzzzzzz", &text(&order, "id")[1..text(&order, "id").len() - 12]);
    let lost = right.with("payment_id", json!(format!("p{}-1", &never[1..]))).with("order_id", json!(never));
    let cases = [
        (right.with("amount", json!(39_899)), "wrong_amount"),
        (right.with("amount", json!({ "amount": 39_901, "currency": "CNY" })), "wrong_amount"),
        (right.with("amount", json!({ "amount": 39_900, "currency": "USD" })), "wrong_amount"),
        (right.with("amount", json!(i64::MAX)), "wrong_amount"),
        (right.with("payment_id", json!(attempt)), "unknown_payment"),
        (right.with("payment_id", json!("ch_1\u{0}\r\n'; --")), "unknown_payment"),
        (right.with("order_id", json!(other_order["id"])).with("amount", json!(5)), "other_order"),
        (nowhere, "unknown_order"),
        (lost, "unknown_order"),
    ];
    for (event, reason) in &cases {
        // A failure brings no money.
        let failed = event.with("type", json!("payment.failed")).send(&world).await.expect(200);
        assert_eq!((&failed["unmatched"], &failed["changed"]), (&json!(reason), &json!(false)));
    }
    assert_eq!(operator.get("/api/admin/refunds").send().await.expect(200)["total"], 0);
    for (event, reason) in &cases {
        for changed in [true, false, false] {
            let answer = event.send(&world).await.expect(200);
            let expected = json!({ "event_id": "evt-1", "changed": changed, "unmatched": reason });
            assert_eq!(answer, expected, "{}", event.body);
        }
    }
    let unpaid = shopper.look_at_order(&order).await;
    assert_eq!((&unpaid["state"], &unpaid["payment"]["state"]), (&json!("unpaid"), &json!("pending")));
    world.seller().expect_counters(&item, Counters::ordered(3, 1)).await;

    let list = operator.get("/api/admin/refunds?page_size=100").send().await.expect(200);
    let refunds = list["refunds"].as_array().unwrap();
    assert_eq!((refunds.len(), &list["total"]), (cases.len(), &json!(cases.len())));
    for (refund, (event, reason)) in refunds.iter().zip(&cases) {
        assert_eq!((&refund["kind"], &refund["reason"]), (&json!("unmatched"), &json!(reason)));
        let told = &event.body["amount"];
        let amount = if told.is_object() { &told["amount"] } else { told };
        assert_eq!((&refund["amount"]["amount"], &refund["settled"]), (amount, &json!(false)));
    }
    // The order tells the currency that the provider left out.
    assert_eq!(refunds[0]["amount"], json!({ "amount": 39_899, "currency": "CNY" }));

    let of =
        |number: usize, verb: &str| format!("/api/admin/refunds/{}/{verb}", text(&refunds[number], "id"));
    let ann = json!({ "by": "ann" });
    for _ in 0..2 {
        let claimed = operator.post(&of(0, "claim")).json(&ann).send().await.expect(200);
        assert_eq!((&claimed["claimed_by"], &claimed["settled"]), (&json!("ann"), &json!(false)));
    }
    for verb in ["claim", "settle"] {
        let other = operator.post(&of(0, verb)).header("x-operator", "bob").send().await;
        let detail = other.expect_problem(409, "conflict")["detail"].to_string();
        assert!(detail.contains("ann claimed"), "{detail}");
    }
    for _ in 0..2 {
        let settled = operator.post(&of(0, "settle")).header("x-operator", "ann").send().await.expect(200);
        assert_eq!((&settled["claimed_by"], &settled["settled"]), (&json!("ann"), &json!(true)));
    }
    // Settling claims by itself, and a repeat of the webhook does not bring the refund back.
    operator.post(&of(1, "settle")).send().await.expect(200);
    assert_eq!(cases[0].0.send(&world).await.expect(200)["changed"], false);
    let left = operator.get("/api/admin/refunds").send().await.expect(200);
    assert_eq!(left["total"], cases.len() - 2);

    for (body, status) in
        [(json!({ "by": "" }), 422), (json!({ "by": "a/b" }), 422), (json!({ "for": "x" }), 422)]
    {
        assert_eq!(operator.post(&of(2, "claim")).json(&body).send().await.status, status, "{body}");
    }
    for unknown in ["u-0", "x", "p-i0000000000-0-000000000000-1"] {
        for verb in ["claim", "settle"] {
            let path = format!("/api/admin/refunds/{unknown}/{verb}");
            operator.post(&path).send().await.expect_problem(404, "not-found");
            world.client().post(&path).send().await.expect_problem(401, "unauthorized");
        }
    }
    assert_eq!(right.send(&world).await.expect(200)["state"], "paid");
}

#[tokio::test]
async fn of_two_operators_who_settle_at_once_one_is_told_not_to_pay() {
    let world = World::start().await;
    let (_, shopper, order, first) = paying(&world).await;
    let replaced = json!({ "replace": true });
    let path = format!("/api/orders/{}/payments", text(&order, "id"));
    let second = shopper.client().post(&path).json(&replaced).send().await.expect(201);
    for payment in [&first, &second] {
        Event::of(&order, payment, "payment.succeeded").send(&world).await.expect(200);
    }
    let operator = world.seller().client().clone();
    let refund = eventually("the refund is listed", PATIENCE, async || {
        let list = operator.get("/api/admin/refunds").send().await.expect(200);
        list["refunds"].get(0).cloned()
    })
    .await;
    assert_eq!((&refund["kind"], &refund["reason"]), (&json!("surplus"), &json!("paid_twice")));
    assert_eq!((&refund["id"], &refund["order_state"]), (&second["id"], &json!("paid")));
    let settle = format!("/api/admin/refunds/{}/settle", text(&refund, "id"));
    let former = format!("/api/admin/payments/{}/refund", text(&refund, "id"));
    let responses = crowd(10, 10, |number| {
        let path = if number % 2 == 0 { &settle } else { &former };
        let name = if number < 5 { "ann" } else { "bob" };
        let request = operator.post(path).header("x-operator", name);
        async move { (name, request.send().await) }
    })
    .await;
    let paying: Vec<&str> =
        responses.iter().filter(|(_, response)| response.status == 200).map(|(name, _)| *name).collect();
    assert_eq!(paying.len(), 5, "{responses:?}");
    assert!(paying.iter().all(|name| *name == paying[0]), "one of them pays: {paying:?}");
    for (_, response) in responses.iter().filter(|(name, _)| *name != paying[0]) {
        response.expect_problem(409, "conflict");
    }
    eventually("nothing is due any more", PATIENCE, async || {
        (operator.get("/api/admin/refunds").send().await.expect(200)["total"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_its_sale_left_redis_a_payment_is_known_and_late_money_goes_back() {
    let world = World::builder().set("pay_seconds", "10").set("retention_seconds", "1").start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(3).between(-60.0, 15.0)).await;
    let [buyer, late] = [world.shopper().await, world.shopper().await];
    let [order, unpaid] = [buyer.order(&item).await, late.order(&item).await];
    let payment = buyer.begin_payment(&order).await.expect(201);
    let abandoned = late.begin_payment(&unpaid).await.expect(201);
    let paid = Event::of(&order, &payment, "payment.succeeded");
    paid.send(&world).await.expect(200);
    eventually("the sale has left Redis", Duration::from_secs(60), async || {
        seller.tick().await;
        let lanes: i64 = world.redis.command(&["EXISTS", &format!("{{{}:0}}:lane", item.id)]).await;
        (lanes == 0).then_some(())
    })
    .await;

    let repeated = paid.send(&world).await.expect(200);
    assert_eq!((&repeated["state"], &repeated["changed"]), (&json!("paid"), &json!(false)));
    let wrong = paid.with("amount", json!(1)).send(&world).await.expect(200);
    assert_eq!(wrong["unmatched"], "wrong_amount");
    let money = Event::of(&unpaid, &abandoned, "payment.succeeded").send(&world).await.expect(200);
    assert_eq!((&money["unmatched"], &money["changed"]), (&json!("sale_over"), &json!(true)));
    let list = seller.client().get("/api/admin/refunds").send().await.expect(200);
    assert_eq!(list["total"], 2, "{list}");
    assert_eq!(list["refunds"][1]["amount"], json!({ "amount": 39_900, "currency": "CNY" }));
}

// --- A payment that the shopper abandons -------------------------------------------------------------------------------------

#[tokio::test]
async fn an_abandoned_payment_is_replaced_and_may_still_succeed() {
    let world = World::start().await;
    let (item, shopper, order, first) = paying(&world).await;
    let path = format!("/api/orders/{}/payments", text(&order, "id"));
    let open = |body: Value| shopper.client().post(&path).json(&body).send();
    assert_eq!(open(json!({})).await.expect(201), first);
    assert_eq!(open(json!({ "replace": false })).await.expect(201), first);
    open(json!({ "replace": 1 })).await.expect_problem(422, "invalid");
    open(json!({ "payment": "x" })).await.expect_problem(422, "invalid");
    let second = open(json!({ "replace": true })).await.expect(201);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(shopper.begin_payment(&order).await.expect(201), second);
    for _ in 2..20 {
        open(json!({ "replace": true })).await.expect(201);
    }
    open(json!({ "replace": true })).await.expect_problem(409, "conflict");
    // The last one is still there to be paid.
    shopper.begin_payment(&order).await.expect(201);

    let paid = Event::of(&order, &first, "payment.succeeded").send(&world).await.expect(200);
    assert_eq!((&paid["state"], &paid["changed"]), (&json!("paid"), &json!(true)));
    let seen = shopper.look_at_order(&order).await;
    assert_eq!(seen["payment"], json!({ "id": first["id"], "state": "succeeded" }));
    Event::of(&order, &second, "payment.succeeded").send(&world).await.expect(200);
    world
        .seller()
        .expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2))
        .await;
    recorded(&world, "paid").await;
    eventually("the surplus is due", PATIENCE, async || {
        let list = world.seller().client().get("/api/admin/refunds").send().await.expect(200);
        (list["refunds"][0]["payment_id"] == second["id"]).then_some(())
    })
    .await;
    world.seller().audit(&item).await;
}

#[tokio::test]
async fn a_shop_without_a_payment_provider_says_so_and_gives_nothing_away() {
    let world = World::builder().set("payment_provider", "").start().await;
    let ready = world.client().get("/readyz").send().await.expect(200);
    assert_eq!(ready["payments"], "not chosen");
    let item = world.seller().publish(&ItemTerms::of(1)).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    let begun = shopper.client().post(&format!("/api/orders/{}/payments", text(&order, "id"))).send().await;
    begun.expect_problem(503, "unavailable");
    let log = world.host.log();
    assert!(log.lines().any(|line| line.contains("error") && line.contains("payment_provider")), "{log}");
    // The page that gives goods away is not there, and nothing that looks for its webhooks complains.
    world.client().get("/pay/page.css").send().await.expect_problem(404, "not-found");
    assert_eq!(world.seller().tick().await["failures"], json!([]));
}
