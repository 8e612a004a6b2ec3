use serde_json::{Value, json};
use stampede_tests::{Client, Counters, ItemTerms, Response, World};

use super::{mac, now_seconds};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signature as the provider makes it.
fn signature(secret: &str, seconds: i64, body: &str) -> String {
    hex(&mac(secret.as_bytes(), format!("{seconds}.{body}").as_bytes()))
}

async fn deliver(client: &Client, header: &str, body: &str) -> Response {
    let request = client.post("/api/payments/webhook").header("content-type", "application/json");
    request.header("stampede-signature", header).body(body.to_owned()).send().await
}

/// An unpaid order with an open payment, and the webhook that it was paid.
async fn pending_payment(world: &World) -> (stampede_tests::Item, String, Value) {
    let item = world.seller().publish(&ItemTerms::of(3)).await;
    let shopper = world.shopper().await;
    let order = shopper.checkout(&shopper.hold(&item).await).await.expect(201);
    let id = order["id"].as_str().unwrap();
    let payment = shopper.client().post(&format!("/api/orders/{id}/payments")).send().await.expect(201);
    let word = json!({
        "event_id": "evt-1", "payment_id": payment["id"], "order_id": id, "type": "payment.succeeded",
        "amount": order["total"]["amount"],
    });
    (item, id.to_owned(), word)
}

#[tokio::test]
async fn only_a_recent_webhook_of_the_provider_moves_an_order() {
    let world = World::start().await;
    let client = world.client();
    let (item, _, word) = pending_payment(&world).await;
    let body = word.to_string();
    let (secret, now) = (world.webhook_secret(), now_seconds());
    let good = signature(secret, now, &body);
    let old = now - 301;
    let future = now + 400;
    let other = body.replace("succeeded", "failed");

    let forged: Vec<(&str, String, &str)> = vec![
        ("nothing", String::new(), "bad-signature"),
        ("no signature", format!("t={now}"), "bad-signature"),
        ("no time", format!("v1={good}"), "bad-signature"),
        ("an empty signature", format!("t={now},v1="), "bad-signature"),
        ("an empty time", format!("t=,v1={good}"), "bad-signature"),
        ("a time of words", format!("t=now,v1={good}"), "bad-signature"),
        ("a time before time", format!("t=-99999999999999,v1={good}"), "bad-signature"),
        ("another time than was signed", format!("t={},v1={good}", now + 1), "bad-signature"),
        ("the same time, spelled otherwise", format!("t=0{now},v1={good}"), "bad-signature"),
        ("another version's signature", format!("t={now},v0={good}"), "bad-signature"),
        ("half of it", format!("t={now},v1={}", &good[..32]), "bad-signature"),
        ("more than it", format!("t={now},v1={good}00"), "bad-signature"),
        ("not hexadecimal", format!("t={now},v1={}", "zz".repeat(32)), "bad-signature"),
        (
            "signs for digits",
            format!("t={now},v1={}", good.replacen('0', "+", 1).replacen('1', "+", 1)),
            "bad-signature",
        ),
        ("two letters of many bytes", format!("t={now},v1={}", "中".repeat(21)), "bad-signature"),
        ("another's secret", format!("t={now},v1={}", signature("x", now, &body)), "bad-signature"),
        (
            "the session secret",
            format!("t={now},v1={}", signature(world.session_secret(), now, &body)),
            "bad-signature",
        ),
        (
            "another body's signature",
            format!("t={now},v1={}", signature(secret, now, &other)),
            "bad-signature",
        ),
        (
            "a trimmed body's signature",
            format!("t={now},v1={}", signature(secret, now, body.trim_end_matches('}'))),
            "bad-signature",
        ),
        (
            "a hundred wrong ones",
            format!("t={now}{}", format!(",v1={}", "ab".repeat(32)).repeat(100)),
            "bad-signature",
        ),
        ("five minutes old", format!("t={old},v1={}", signature(secret, old, &body)), "stale-signature"),
        ("of days to come", format!("t={future},v1={}", signature(secret, future, &body)), "stale-signature"),
        ("of 1970", format!("t=0,v1={}", signature(secret, 0, &body)), "stale-signature"),
    ];
    for (what, header, slug) in forged {
        let response = deliver(&client, &header, &body).await;
        assert_eq!(response.slug().as_deref(), Some(slug), "{what}: {response}");
        response.expect_problem(401, slug);
    }
    // The signature covers every byte, also those that mean nothing.
    for changed in [format!("{body}\n"), format!(" {body}"), body.replace(":", ": "), String::new()] {
        deliver(&client, &format!("t={now},v1={good}"), &changed).await.expect_problem(401, "bad-signature");
    }
    let without = client.post("/api/payments/webhook").json(&word).send().await;
    without.expect_problem(401, "bad-signature");
    world.seller().expect_counters(&item, Counters::ordered(3, 1)).await;

    // One right signature among several is enough: that is how a provider changes its key.
    let header = format!("t={now},v1={},v1={good},v0=x", "00".repeat(32));
    assert_eq!(deliver(&client, &header, &body).await.expect(200)["state"], "paid");
    let sold = Counters { available: 2, sold: 1, ..Counters::untouched(3) };
    world.seller().expect_counters(&item, sold).await;
}

#[tokio::test]
async fn a_webhook_counts_once_and_only_for_its_payment() {
    let world = World::start().await;
    let client = world.client();
    let (item, order, word) = pending_payment(&world).await;
    let (_, other_order, other_word) = pending_payment(&world).await;
    let say = async |word: &Value| {
        let (body, now) = (word.to_string(), now_seconds());
        deliver(&client, &format!("t={now},v1={}", signature(world.webhook_secret(), now, &body)), &body)
            .await
    };
    let with = |name: &str, value: Value| {
        let mut changed = word.clone();
        changed[name] = value;
        changed
    };
    // These have a right signature and wrong content: the provider erred, or a customer of its has the key.
    let amount = word["amount"].as_i64().unwrap();
    let text = word["payment_id"].as_str().unwrap();
    for wrong in [
        with("amount", json!(amount - 1)),
        with("amount", json!(0)),
        with("amount", json!(-amount)),
        with("amount", json!({ "amount": amount, "currency": "USD" })),
        with("amount", json!("39900")),
        with("amount", json!(39900.5)),
        with("order_id", json!(other_order)),
        with("payment_id", other_word["payment_id"].clone()),
        with("payment_id", json!(format!("{}9", text))),
        with("payment_id", json!("p-x")),
        with("payment_id", json!("{*}\r\nFLUSHALL\r\n")),
        with("type", json!("payment.refunded")),
        json!([word]),
        json!("payment.succeeded"),
        json!({}),
    ] {
        let response = say(&wrong).await;
        assert!(matches!(response.status, 400 | 404 | 422), "{wrong}: {response}");
    }
    world.seller().expect_counters(&item, Counters::ordered(3, 1)).await;

    assert_eq!(say(&word).await.expect(200)["changed"], true);
    for repeated in [word.clone(), with("event_id", json!("evt-2"))] {
        assert_eq!(say(&repeated).await.expect(200)["changed"], false);
    }
    // A failure after the success does not take it back.
    let response = say(&with("type", json!("payment.failed"))).await;
    assert!(response.status < 500, "{response}");
    let sold = Counters { available: 2, sold: 1, ..Counters::untouched(3) };
    world.seller().expect_counters(&item, sold).await;
    assert!(order.starts_with("o-"));
}
