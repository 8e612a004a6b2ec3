use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{ItemTerms, Response, Shopper, World, WorldBuilder, eventually};

/// The number of `parameter` of the policy `name`, in a header such as `"shopper";r=7;t=1, "address";r=59;t=1`.
fn parameter(response: &Response, header: &str, name: &str, parameter: &str) -> u64 {
    let value = response.header(header).unwrap_or_else(|| panic!("no {header} in {response}"));
    let quoted = format!("\"{name}\"");
    let item = value.split(", ").find(|item| item.starts_with(&quoted)).unwrap_or_else(|| panic!("{value}"));
    let prefix = format!("{parameter}=");
    let found =
        item.split(';').find_map(|part| part.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{value}"));
    found.parse().unwrap_or_else(|_| panic!("{value}"))
}

fn limited() -> WorldBuilder {
    World::builder()
        .set("rate_limits", "on")
        .set("trust_proxy", "on")
        .set("sessions_per_minute", 1_000)
        .set("captcha_kind", "off")
}

/// Fails unless this is a 429 whose headers and body agree on when to come again. Returns the milliseconds.
fn too_many(response: &Response, policy: Option<&str>) -> u64 {
    let problem = response.expect_problem(429, "rate-limited");
    let milliseconds = problem["retry_after_ms"].as_u64().expect("exact to the millisecond");
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!(milliseconds > 0 && seconds == milliseconds.div_ceil(1_000), "{response}");
    if let Some(policy) = policy {
        assert_eq!(parameter(response, "ratelimit", policy, "r"), 0);
        assert_eq!(parameter(response, "ratelimit", policy, "t"), seconds);
    }
    milliseconds
}

async fn ask(shopper: &Shopper, item: &stampede_tests::Item, address: &str) -> Response {
    let path = format!("/api/items/{}/challenges", item.id);
    shopper.client().post(&path).header("x-forwarded-for", address).send().await
}

#[tokio::test]
async fn a_shopper_has_so_many_tries_and_is_told_what_is_left() {
    let (world, item) = limited().set("tries_per_ten_seconds", 5).selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let first = ask(&shopper, &item, "203.0.113.1").await;
    first.expect(201);
    assert_eq!(first.header("ratelimit-policy"), Some("\"shopper\";q=5;w=10, \"address\";q=240;w=10"));
    let left = |response: &Response| parameter(response, "ratelimit", "shopper", "r");
    assert_eq!(left(&first), 4);
    let mut last = first;
    for _ in 0..30 {
        last = ask(&shopper, &item, "203.0.113.1").await;
        if last.status == 429 {
            break;
        }
    }
    let wait = too_many(&last, Some("shopper"));
    // The allowance is the same from another address. Another shopper has their own, and so has another item.
    too_many(&ask(&shopper, &item, "203.0.113.2").await, Some("shopper"));
    ask(&world.shopper().await, &item, "203.0.113.1").await.expect(201);
    let other = seller.publish(&ItemTerms::of(5)).await;
    ask(&shopper, &other, "203.0.113.1").await.expect(201);
    // The time was right: after it there is a token, and the reservation that it buys says so.
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let response = shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await;
    response.expect(202);
    assert_eq!(parameter(&response, "ratelimit-policy", "shopper", "q"), 5);
}

#[tokio::test]
async fn an_address_is_limited_whatever_its_shoppers_call_themselves() {
    let (world, item) = limited().set("address_tries_per_ten_seconds", 6).selling(100).await;
    // All addresses are in one /64, as one customer has.
    let mut refused = None;
    for number in 0..40 {
        let shopper = world.shopper().await;
        let response = ask(&shopper, &item, &format!("2001:db8:7:7::{number:x}")).await;
        if response.status == 429 {
            refused = Some((shopper, response));
            break;
        }
        response.expect(201);
    }
    let (shopper, response) = refused.expect("the limit is enforced");
    too_many(&response, Some("address"));
    ask(&shopper, &item, "2001:db8:7:8::1").await.expect(201);
    ask(&shopper, &item, "198.51.100.1").await.expect(201);
    // The shop ignores the entries that the client itself wrote before the proxy's.
    let response = ask(&world.shopper().await, &item, "198.51.100.9, 2001:db8:7:7::1").await;
    assert!(matches!(response.status, 201 | 429), "{response}");
    assert!(parameter(&response, "ratelimit", "address", "r") < 3, "{response}");
}

#[tokio::test]
async fn a_refusal_for_too_many_tries_leaves_the_challenge_good() {
    let (world, item) = limited().set("captcha_kind", "pow").set("tries_per_ten_seconds", 4).selling(5).await;
    let shopper = world.shopper().await;
    let solved = shopper.solved_challenge(&item).await.unwrap();
    let mut last = ask(&shopper, &item, "203.0.113.1").await;
    for _ in 0..30 {
        if last.status == 429 {
            break;
        }
        last = ask(&shopper, &item, "203.0.113.1").await;
    }
    too_many(&last, Some("shopper"));
    let response = eventually("a token", Duration::from_secs(20), async || {
        let response = shopper.ask_reservation(&item, &solved).await;
        (response.status != 429).then_some(response)
    })
    .await;
    response.expect(202);
}

#[tokio::test]
async fn an_item_admits_so_many_units_a_second_and_rules_change_that_at_once() {
    let (world, item) =
        World::builder().set("captcha_kind", "off").set("units_per_second", 2).selling(100).await;
    let seller = world.seller();
    let wish = json!({ "quantity": 1 });
    let mut admitted = 0;
    let refused = loop {
        let response = world.shopper().await.ask_reservation(&item, &wish).await;
        if response.status == 429 {
            break response;
        }
        response.expect(202);
        admitted += 1;
        assert!(admitted < 60, "the admission rate is enforced");
    };
    assert!(too_many(&refused, None) <= 500);
    let rules = json!({ "units_per_second": 0 });
    let path = format!("/api/admin/items/{}/rules", item.id);
    seller.client().put(&path).header("if-match", "\"0\"").json(&rules).send().await.expect(200);
    for _ in 0..10 {
        world.shopper().await.ask_reservation(&item, &wish).await.expect(202);
    }
}

#[tokio::test]
async fn polls_have_an_allowance_and_are_spread_over_those_who_wait() {
    let (world, item) = limited()
        .set("polls_per_ten_seconds", 5)
        .set("polls_per_second", 2)
        .without_doorbells()
        .selling(1)
        .await;
    let seller = world.seller();
    seller.order(&item, "pause").await.expect(200);
    seller.order(&item, "resume").await.expect(200);
    let wish = json!({ "quantity": 1 });
    let mut reservations = Vec::new();
    for _ in 0..8 {
        let shopper = world.shopper().await;
        let reservation = shopper.ask_reservation(&item, &wish).await.expect(202);
        reservations.push((shopper, reservation));
    }
    let pause = |reservation: &Value| reservation["poll_after_ms"].as_u64().unwrap();
    let (place, after) = (8, pause(&reservations[7].1));
    assert_eq!(after, place * 1_500 / 2, "{}", reservations[7].1);
    // The first could ask every 750 ms by the shop's rate. Its own allowance refills every two seconds.
    assert_eq!(pause(&reservations[0].1), 2_000);

    let (shopper, reservation) = &reservations[0];
    let path = format!("/api/reservations/{}", reservation["id"].as_str().unwrap());
    let response = shopper.client().get(&path).send().await;
    response.expect(200);
    assert_eq!(response.header("ratelimit-policy"), Some("\"polls\";q=5;w=10"));
    let mut last = response;
    for _ in 0..30 {
        last = shopper.client().get(&path).send().await;
        if last.status == 429 {
            break;
        }
    }
    too_many(&last, Some("polls"));
}

#[tokio::test]
async fn sessions_say_what_is_left_and_off_is_off() {
    let world = limited().set("sessions_per_minute", 2).start().await;
    let open = async |address: &str| {
        world.client().post("/api/session").header("x-forwarded-for", address).send().await
    };
    let first = open("203.0.113.1").await;
    first.expect(201);
    assert_eq!(first.header("ratelimit-policy"), Some("\"sessions\";q=2;w=60"));
    open("203.0.113.1").await.expect(201);
    assert!(too_many(&open("203.0.113.1").await, Some("sessions")) <= 30_000);
    open("203.0.113.2").await.expect(201);

    let (world, item) = limited().set("rate_limits", "off").set("tries_per_ten_seconds", 1).selling(5).await;
    let shopper = world.shopper().await;
    for _ in 0..10 {
        let response = ask(&shopper, &item, "203.0.113.1").await;
        response.expect(201);
        assert_eq!((response.header("ratelimit"), response.header("ratelimit-policy")), (None, None));
    }
}

#[tokio::test]
async fn guessing_the_operator_token_is_slowed_down_and_the_right_token_always_passes() {
    let world = limited().set("operator_failures_per_minute", 3).start().await;
    let guess = world.client().bearing("a-guess-at-the-operator-s-token-0123456789");
    let mut responses = Vec::new();
    for _ in 0..6 {
        responses.push(guess.get("/api/admin/sales").header("x-forwarded-for", "203.0.113.1").send().await);
    }
    for response in &responses[..3] {
        response.expect_problem(401, "unauthorized");
    }
    assert!(too_many(&responses[5], None) <= 20_000);
    let elsewhere = guess.post("/internal/tick").header("x-forwarded-for", "203.0.113.2").send().await;
    elsewhere.expect_problem(401, "unauthorized");
    let operator = world.seller();
    for _ in 0..5 {
        let response = operator.client().get("/api/admin/sales").header("x-forwarded-for", "203.0.113.1");
        response.send().await.expect(200);
    }
}
