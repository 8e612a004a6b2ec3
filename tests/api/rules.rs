use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stampede_tests::{ItemTerms, Seller, World};

/// How soon a change by the operator must have reached every instance.
const SECOND: Duration = Duration::from_secs(1);

async fn put_rules(seller: &Seller, path: &str, version: u64, rules: Value) -> Value {
    let tag = format!("\"{version}\"");
    seller.client().put(path).header("if-match", &tag).json(&rules).send().await.expect(200)
}

#[tokio::test]
async fn rules_are_versioned_and_rules_of_an_item_come_first() {
    let (world, item) = World::builder().set("queue_factor", 9).selling(5).await;
    let seller = world.seller();
    let (shop, own) = ("/api/admin/rules", format!("/api/admin/items/{}/rules", item.id));
    let response = seller.client().get(shop).send().await;
    assert_eq!(response.header("etag"), Some("\"0\""));
    let before = response.expect(200);
    assert_eq!((&before["rules"], &before["effective"]["queue_factor"]), (&json!({}), &json!(9)));
    assert_eq!(before["effective"]["challenge_kind"], "pow");

    let named = seller.client().put(shop).header("if-match", "\"0\"").header("x-operator", "Anna B.");
    let changed = named.json(&json!({ "queue_factor": 3, "challenge_difficulty": 7 })).send().await;
    assert_eq!(changed.header("etag"), Some("\"1\""));
    let changed = changed.expect(200);
    assert_eq!((&changed["version"], &changed["changed_by"]), (&json!(1), &json!("Anna B.")));
    assert_eq!(changed["effective"]["queue_factor"], 3);
    let late = seller.client().put(shop).header("if-match", "\"0\"").json(&json!({})).send().await;
    assert_eq!(late.expect_problem(412, "version-mismatch")["version"], 1);
    let blind = seller.client().put(shop).json(&json!({})).send().await;
    blind.expect_problem(422, "invalid");

    let of_item = seller.client().get(&own).send().await.expect(200);
    assert_eq!((&of_item["version"], &of_item["effective"]["queue_factor"]), (&json!(0), &json!(3)));
    let of_item = put_rules(&seller, &own, 0, json!({ "queue_factor": 4 })).await;
    assert_eq!(of_item["effective"]["queue_factor"], 4);
    assert_eq!(of_item["effective"]["challenge_difficulty"], 7);
    // Without rules of its own, the item follows the shop's again.
    let of_item = put_rules(&seller, &own, 1, json!({ "queue_factor": null })).await;
    assert_eq!((&of_item["rules"], &of_item["effective"]["queue_factor"]), (&json!({}), &json!(3)));

    for (wrong, field) in [
        (json!({ "queue_factor": 0 }), "queue_factor"),
        (json!({ "tries_per_ten_seconds": 10_001 }), "tries_per_ten_seconds"),
        (json!({ "polls_per_second": 0 }), "polls_per_second"),
        (json!({ "challenge_difficulty": 31 }), "challenge_difficulty"),
        (json!({ "challenge_kind": "off" }), "challenge_kind"),
        (json!({ "challenge_kind": "riddle" }), "challenge_kind"),
        (json!({ "paused": "yes" }), "paused"),
        (json!({ "que_factor": 1 }), "que_factor"),
    ] {
        let response = seller.client().put(shop).header("if-match", "\"1\"").json(&wrong).send().await;
        let problem = response.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{wrong}: {problem}");
    }
    let unknown = seller.client().get("/api/admin/items/i0000000000/rules").send().await;
    unknown.expect_problem(404, "not-found");
    assert_eq!(seller.client().get(shop).send().await.expect(200)["version"], 1);
}

#[tokio::test]
async fn the_queue_factor_and_a_pause_hold_for_the_next_reservation() {
    let (world, item) = World::builder().set("captcha_kind", "off").without_doorbells().selling(1).await;
    let seller = world.seller();
    let other = seller.publish(&ItemTerms::of(1)).await;
    let wish = json!({ "quantity": 1 });
    world.shopper().await.ask_reservation(&item, &wish).await.expect(202);
    let own = format!("/api/admin/items/{}/rules", item.id);
    put_rules(&seller, &own, 0, json!({ "queue_factor": 1 })).await;
    let late = world.shopper().await;
    late.ask_reservation(&item, &wish).await.expect_problem(503, "queue-full");
    put_rules(&seller, &own, 1, json!({ "queue_factor": 2 })).await;
    late.ask_reservation(&item, &wish).await.expect(202);

    put_rules(&seller, "/api/admin/rules", 0, json!({ "paused": true })).await;
    let shopper = world.shopper().await;
    for item in [&item, &other] {
        shopper.ask_reservation(item, &wish).await.expect_problem(503, "paused");
    }
    seller.order(&other, "resume").await.expect(200);
    shopper.ask_reservation(&other, &wish).await.expect(202);
    put_rules(&seller, "/api/admin/rules", 1, json!({})).await;
    let stats = seller.client().get(&format!("/api/admin/items/{}/stats", item.id)).send().await.expect(200);
    assert_eq!(stats["switch"], "open");
}

#[tokio::test]
async fn the_next_challenge_is_as_hard_as_the_rules_say_a_second_later_at_every_host() {
    let (world, item) = World::selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let second_host = world.start_another_host().await;
    let elsewhere = shopper.at(&second_host.base());
    for shopper in [&shopper, &elsewhere] {
        assert_eq!(shopper.ask_challenge(&item).await.expect(201)["difficulty"], 4);
    }
    put_rules(&seller, "/api/admin/rules", 0, json!({ "challenge_difficulty": 9 })).await;
    let changed = Instant::now();
    // The instances stay busy meanwhile: what they remember must lapse by itself.
    while changed.elapsed() < SECOND {
        elsewhere.ask_challenge(&item).await.expect(201);
        shopper.ask_challenge(&item).await.expect(201);
    }
    for shopper in [&shopper, &elsewhere] {
        assert_eq!(shopper.ask_challenge(&item).await.expect(201)["difficulty"], 9);
    }
}

#[tokio::test]
async fn a_blocked_shopper_gets_nothing_a_second_later_at_every_host() {
    let (world, item) =
        World::builder().set("captcha_kind", "off").set("trust_proxy", "on").selling(50).await;
    let seller = world.seller();
    let second_host = world.start_another_host().await;
    let wish = json!({ "quantity": 1 });
    let (ann, bob) = (world.shopper().await, world.shopper().await);
    let from = |shopper: &stampede_tests::Shopper, address: &str| {
        shopper.reservation_request(&item, &wish).header("x-forwarded-for", address)
    };
    let user = format!("/api/admin/blocklist/user/{}", ann.user_id());
    let reason = json!({ "reason": "sells tickets on" });
    seller.client().put(&user).header("x-operator", "Anna").json(&reason).send().await.expect(204);
    for network in ["2001:db8:1:2::7", "198.51.100.0%2F24"] {
        let path = format!("/api/admin/blocklist/address/{}", network.replace(':', "%3A"));
        seller.client().put(&path).send().await.expect(204);
    }
    let changed = Instant::now();
    let hosts = [world.host.base(), second_host.base()];
    while changed.elapsed() < SECOND {
        for host in &hosts {
            bob.at(host).ask_challenge(&item).await.expect(201);
        }
    }
    for host in &hosts {
        let (ann, bob) = (ann.at(host), bob.at(host));
        ann.ask_challenge(&item).await.expect_problem(403, "blocked");
        from(&ann, "203.0.113.1").send().await.expect_problem(403, "blocked");
        for address in
            ["2001:db8:1:2:ffff::1", "[2001:db8:1:2::7]:443", "198.51.100.200", "::ffff:198.51.100.9"]
        {
            from(&bob, address).send().await.expect_problem(403, "blocked");
        }
        // The shop ignores the entries that the client wrote before the proxy's own.
        let response = from(&bob, "198.51.100.7, 203.0.113.1").send().await;
        assert!(matches!(response.status, 200 | 202), "{response}");
    }

    let listed = seller.client().get("/api/admin/blocklist").send().await.expect(200);
    let lines: Vec<_> = listed["blocked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (line["kind"].as_str().unwrap(), line["value"].as_str().unwrap(), line["by"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("address", "198.51.100.0/24", "operator"),
            ("address", "2001:db8:1:2::/64", "operator"),
            ("user", ann.user_id(), "Anna"),
        ]
    );
    assert_eq!(listed["blocked"][2]["reason"], "sells tickets on");
    seller.client().delete(&user).send().await.expect(204);
    let changed = Instant::now();
    while changed.elapsed() < SECOND {
        bob.ask_challenge(&item).await.expect(201);
    }
    from(&ann, "203.0.113.1").send().await.expect(202);
    for wrong in ["user/a%20b", "address/x", "address/1.2.3.4%2F40"] {
        let response = seller.client().put(&format!("/api/admin/blocklist/{wrong}")).send().await;
        response.expect_problem(422, "invalid");
    }
}

#[tokio::test]
async fn every_change_of_an_operator_is_in_the_log() {
    let (world, item) = World::selling(5).await;
    let seller = world.seller();
    seller.set_stock(&item, json!({ "add": 2 })).await.expect(200);
    seller.set_stock(&item, json!({ "total": -5 })).await.expect_problem(422, "invalid");
    seller.order(&item, "pause").await.expect(200);
    put_rules(&seller, "/api/admin/rules", 0, json!({ "queue_factor": 3 })).await;
    let paused = seller
        .client()
        .post(&format!("/api/admin/items/{}/close", item.id))
        .header("x-operator", "Anna B.")
        .header("x-request-id", "the-request-of-this-test")
        .send()
        .await;
    paused.expect(200);

    let log = seller.client().get("/api/admin/log?page_size=100").send().await.expect(200);
    let entries = log["entries"].as_array().unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["before"].clone(), entry["after"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("item.close", json!("paused"), json!("closed")),
            ("rules.change", json!(0), json!(1)),
            ("item.pause", json!("open"), json!("paused")),
            ("item.stock", json!(5), json!(7)),
            ("item.publish", json!("draft"), json!("open")),
            ("item.create", json!(0), json!(1)),
            ("sale.create", json!(0), json!(1)),
        ]
    );
    assert_eq!(log["total"], 7);
    assert_eq!(entries[0]["operator"], "Anna B.");
    assert_eq!(entries[0]["request_id"], "the-request-of-this-test");
    assert_eq!(entries[0]["target"], format!("item/{}", item.id));
    assert_eq!(entries[1]["operator"], "operator");
    let token = entries[0]["token"].as_str().unwrap();
    assert!(token.len() == 8 && !world.operator_token().contains(token));
    let second = seller.client().get("/api/admin/log?page=2&page_size=3").send().await.expect(200);
    assert_eq!(second["entries"][0], entries[3]);

    let nameless = seller.client().get("/api/admin/log").header("x-operator", "a/b").send().await;
    nameless.expect_problem(422, "invalid");
    world.client().get("/api/admin/log").send().await.expect_problem(401, "unauthorized");
}
