use serde_json::{Value, json};
use stampede_tests::World;

/// Everything that Redis holds, as text: name and content of each key.
pub async fn redis_content(world: &World) -> Vec<(String, String)> {
    let keys: Vec<String> = world.redis.command(&["KEYS", "*"]).await;
    let mut content = Vec::new();
    for key in keys {
        let kind: String = world.redis.command(&["TYPE", &key]).await;
        let words: Vec<&str> = match kind.as_str() {
            "string" => vec!["GET", &key],
            "hash" => vec!["HGETALL", &key],
            "set" => vec!["SMEMBERS", &key],
            "list" => vec!["LRANGE", &key, "0", "-1"],
            "zset" => vec!["ZRANGE", &key, "0", "-1"],
            "stream" => vec!["XRANGE", &key, "-", "+"],
            other => panic!("{key} is a {other}"),
        };
        let value: redis::Value = world.redis.command(&words).await;
        content.push((key, format!("{value:?}")));
    }
    content
}

#[tokio::test]
async fn a_purchase_leaves_no_secret_and_no_postal_address_where_they_do_not_belong() {
    let (world, item) = World::selling(5).await;
    let shopper = world.shopper().await;
    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    let challenge = body["challenge"].as_str().unwrap().to_owned();
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    let held = shopper.result(&reservation).await;
    let order = shopper.checkout(&held).await.expect(201);
    let id = order["id"].as_str().unwrap();
    let payment = shopper.client().post(&format!("/api/orders/{id}/payments")).send().await.expect(201);
    shopper.client().get(&format!("/api/orders/{id}")).send().await.expect(200);
    // Refusals and mistakes, with texts that no log may repeat.
    let client = world.client();
    client
        .get("/api/orders")
        .header("cookie", &format!("stampede_session={}x", shopper.token()))
        .send()
        .await;
    client.bearing(&format!("{}x", world.operator_token())).post("/internal/tick").send().await;
    client.get("/api/sales?q=Li+Ming+13800000000&token=hush-hush").send().await;
    client.get("/Li-Ming-13800000000/hush-hush").send().await;
    let broken = json!({ "contact": "Li Ming 13800000000", "hush-hush": 1 });
    let path = format!("/api/reservations/{}/checkout", held["id"].as_str().unwrap());
    shopper.client().post(&path).json(&broken).send().await.expect_problem(422, "invalid");
    shopper.client().post(&path).json(&json!({ "contact": "Li Ming 13800000000\u{0}" })).send().await;
    world.seller().audit(&item).await;

    let secrets = [
        world.session_secret(),
        world.operator_token(),
        world.webhook_secret(),
        shopper.token(),
        shopper.token().rsplit('.').next().unwrap(),
        challenge.as_str(),
        "hush-hush",
    ];
    let personal = ["Li Ming", "138 0000 0000", "13800000000", "Racecourse Road", "请放前台"];

    let log = world.host.log();
    assert!(log.contains("/api/reservations/:id/checkout"), "the log says nothing: {log}");
    for word in secrets.iter().chain(&personal).chain(&[shopper.user_id()]) {
        assert!(!log.contains(word), "`{word}` is in the log");
    }
    for (key, value) in redis_content(&world).await {
        for secret in secrets {
            assert!(!key.contains(secret) && !value.contains(secret), "`{secret}` is in {key}");
        }
        // Only the order has the postal address.
        for word in personal {
            assert!(key.ends_with(":details") || !value.contains(word), "`{word}` is in {key}: {value}");
        }
    }
    // The key-value store has only what everybody may see.
    let store = std::fs::read(world.state_folder().join("sqlite_key_value.db")).unwrap();
    let store = String::from_utf8_lossy(&store);
    for word in secrets.iter().chain(&personal).chain(&[shopper.user_id(), id]) {
        assert!(!store.contains(word), "`{word}` is in the key-value store");
    }
    assert_ne!(payment["pay_url"], Value::Null);
}
