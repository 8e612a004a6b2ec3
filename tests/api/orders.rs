use std::time::Duration;

use serde_json::json;
use stampede_tests::{Counters, ItemTerms, World, crowd, eventually, orders_in};

#[tokio::test]
async fn a_hold_becomes_one_order_however_often_checkout_is_sent() {
    let (world, item) = World::selling(ItemTerms::of(3).limited_to(2)).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let queued = shopper.reserve_units(&item, 2).await.expect(202);
    let held = shopper.result(&queued).await;

    let responses = crowd(10, 10, |_| {
        let request = shopper.checkout_request(&held);
        async move { request.send().await }
    })
    .await;
    let order = responses[0].expect(201);
    for response in &responses {
        assert_eq!(response.expect(201)["id"], order["id"], "{response}");
    }
    assert_eq!(order["reservation_id"], held["id"]);
    assert_eq!(order["item_id"], item.id.as_str());
    assert_eq!(order["quantity"], 2);
    assert_eq!(order["unit_price"], json!({ "amount": 39900, "currency": "CNY" }));
    assert_eq!(order["total"], json!({ "amount": 79800, "currency": "CNY" }));
    assert_eq!(order["state"], "unpaid");
    for moment in ["created_at", "pay_by"] {
        assert!(order[moment].as_str().is_some_and(|text| text.ends_with('Z')), "{order}");
    }
    seller.expect_counters(&item, Counters::ordered(3, 2)).await;

    let rows = world.recorded_orders(1, Duration::from_secs(5)).await;
    assert_eq!(rows[0].id, order["id"].as_str().unwrap());
    assert_eq!((rows[0].quantity, rows[0].state.as_str()), (2, "unpaid"));
    assert_eq!(rows[0].user_id, shopper.user_id());
}

#[tokio::test]
async fn an_order_just_made_is_shown_at_once_and_to_its_shopper_alone() {
    let (world, item) = World::selling(3).await;
    let (shopper, stranger) = (world.shopper().await, world.shopper().await);
    let held = shopper.hold(&item).await;
    let order = shopper.checkout(&held).await.expect(201);
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());

    let shown = shopper.client().get(&path).send().await.expect(200);
    assert_eq!(shown["id"], order["id"]);
    assert_eq!(shown["total"], order["total"]);
    stranger.client().get(&path).send().await.expect_problem(404, "not-found");
    world.client().get(&path).send().await.expect_problem(401, "unauthorized");
    for unknown in ["o-i0000000000-0-000000000000", "o-", "x"] {
        let response = shopper.client().get(&format!("/api/orders/{unknown}")).send().await;
        response.expect_problem(404, "not-found");
    }

    eventually("my orders list it", Duration::from_secs(5), async || {
        shopper.orders().await.iter().any(|listed| listed["id"] == order["id"]).then_some(())
    })
    .await;
    assert!(stranger.orders().await.is_empty());
}

#[tokio::test]
async fn only_a_hold_can_be_checked_out() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    shopper.give_back(&held).await.expect(204);
    shopper.checkout(&held).await.expect_problem(409, "conflict");
    seller.expect_counters(&item, Counters::untouched(3)).await;
}

#[tokio::test]
async fn checkout_wants_a_contact_and_an_address() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let path = format!("/api/reservations/{}/checkout", held["id"].as_str().unwrap());
    let whole = json!({ "contact": "Li Ming", "address": "1 Racecourse Road", "note": "" });
    for (field, value) in
        [("contact", json!("")), ("contact", json!(5)), ("address", json!("x".repeat(5_000)))]
    {
        let mut body = whole.clone();
        body[field] = value;
        let problem = shopper.client().post(&path).json(&body).send().await.expect_problem(422, "invalid");
        assert!(problem.to_string().contains(field), "{problem}");
    }
    for field in ["contact", "address"] {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(field);
        let problem = shopper.client().post(&path).json(&body).send().await.expect_problem(422, "invalid");
        assert!(problem.to_string().contains(field), "{problem}");
    }
    seller.expect_counters(&item, Counters::held(3, 1)).await;
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_returns_its_units() {
    let (world, item) = World::builder().set("pay_seconds", 2).selling(1).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let order = shopper.checkout(&held).await.expect(201);

    // Within a second of the deadline.
    eventually("the unit is free again", Duration::from_millis(3_500), async || {
        (seller.counters(&item).await == Counters::untouched(1)).then_some(())
    })
    .await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(shopper.client().get(&path).send().await.expect(200)["state"], "timed_out");
    let state = world.state_folder();
    eventually("the database knows", Duration::from_secs(5), async || {
        orders_in(state).iter().all(|row| row.state == "timed_out").then_some(())
    })
    .await;
    world.shopper().await.hold(&item).await;
}

#[tokio::test]
async fn a_list_of_orders_asks_redis_as_often_for_one_item_as_for_twelve() {
    let (mut world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let order = shopper.checkout(&held).await.expect(201);
    // A shopper who has no orders, so that nothing but the list itself asks Redis.
    let other = world.shopper().await;
    let mut scripts_of_ten_lists = async || {
        let before = scripts_run(&mut world).await;
        for _ in 0..10 {
            assert!(other.orders().await.is_empty());
        }
        scripts_run(&mut world).await - before
    };
    let with_one = scripts_of_ten_lists().await;
    for _ in 0..11 {
        seller.publish(&ItemTerms::of(1)).await;
    }
    let with_twelve = scripts_of_ten_lists().await;
    // Workers run a few scripts of their own meanwhile.
    assert!(with_twelve < with_one + 60, "{with_one} scripts with one item, {with_twelve} with twelve");
    let listed = shopper.orders().await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &order["id"]), "{listed:?}");
}

/// How many scripts and look-ups Redis has run so far.
async fn scripts_run(world: &mut World) -> i64 {
    let statistics: String = world.redis.command(&["INFO", "commandstats"]).await;
    let calls = |line: &str| -> Option<i64> {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let counts = ["evalsha", "hget", "lrange"].contains(&command);
        rest.split(',').next()?.parse().ok().filter(|_| counts)
    };
    statistics.lines().filter_map(calls).sum()
}

#[tokio::test]
async fn an_order_is_listed_once_as_soon_as_its_checkout_was_answered() {
    let (world, first) = World::selling(3).await;
    let second = world.seller().publish(&ItemTerms::of(3)).await;
    // Nothing is recorded meanwhile.
    let lock = stampede_tests::lock_database(world.state_folder());
    let shopper = world.shopper().await;
    let mut made = Vec::new();
    for item in [&first, &second] {
        let held = shopper.hold(item).await;
        let order = shopper.checkout(&held).await.expect(201);
        made.insert(0, order["id"].clone());
        let listed: Vec<_> = shopper.orders().await.iter().map(|order| order["id"].clone()).collect();
        assert_eq!(listed, made);
    }
    drop(lock);
    world.recorded_orders(2, Duration::from_secs(10)).await;
    assert_eq!(shopper.orders().await.len(), 2, "each order once");
}
