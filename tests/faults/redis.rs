use std::time::{Duration, Instant};

use serde_json::Value;
use stampede_tests::{Counters, Item, Shopper, World, crowd, eventually, meanwhile};

/// A crowd that insists. Returns everybody's order.
async fn insist(shoppers: Vec<Shopper>, item: Item) -> Vec<Value> {
    crowd(shoppers.len(), 64, move |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move { shopper.insist_on_order(&item).await }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_in_mid_sale_comes_back_with_everything() {
    let (mut world, item) = World::builder().unchecked().selling(200).await;
    let seller = world.seller();
    let shoppers = world.shoppers(200).await;

    let redis = &mut world.redis;
    let mut sold = 0;
    let (orders, kills) = meanwhile(insist(shoppers, item.clone()), 3, async || {
        // Wait for progress since the last kill.
        eventually("some more is sold", Duration::from_secs(30), async || {
            let counters = seller.counters(&item).await;
            let taken = counters.total - counters.available;
            (taken > sold || taken == counters.total).then(|| sold = taken)
        })
        .await;
        redis.kill9();
        redis.restart().await;
    })
    .await;
    assert!(kills > 0);
    assert_eq!(orders.len(), 200);
    seller.expect_counters(&item, Counters::ordered(200, 200)).await;

    world.recorded_orders(200, Duration::from_secs(20)).await;
}

#[tokio::test]
async fn while_redis_is_gone_callers_are_told_to_try_later_and_then_all_goes_on() {
    let (mut world, item) = World::selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let mut body = world.shopper().await.solved_challenge(&item).await.unwrap();
    body["quantity"] = 1.into();

    world.redis.kill9();
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(10) {
        let path = format!("/api/reservations/{}", held["id"].as_str().unwrap());
        let responses = [
            shopper.client().get(&path).send().await,
            shopper.checkout_request(&held).send().await,
            shopper.ask_reservation(&item, &body).await,
        ];
        for response in responses {
            // The shop may refuse a foreign challenge without Redis, but may promise nothing.
            assert!(matches!(response.status, 503 | 422), "{response}");
        }
        // Public pages and items do not need Redis.
        let shown = world.client().get(&format!("/api/items/{}", item.id)).send().await;
        assert!(matches!(shown.status, 200 | 503), "{shown}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    world.redis.restart().await;

    assert_eq!(shopper.look(&held).await.expect(200)["state"], "held");
    shopper.checkout(&held).await.expect(201);
    // The host hears doorbells and alarms again: a new hold comes without a tick.
    world.shopper().await.hold(&item).await;
    seller.expect_counters(&item, Counters { held: 1, ..Counters::ordered(5, 1) }.with_available(3)).await;
    world.recorded_orders(1, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn while_the_disk_of_redis_is_full_nothing_is_promised_and_then_all_goes_on() {
    let (mut world, item) = World::selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;

    world.redis.fill_disk();
    // Redis notices that it cannot write its last command, and takes no more until it can.
    let refused = eventually("a request is refused", Duration::from_secs(30), async || {
        let late = world.shopper().await;
        let response = late.reserve(&item).await;
        (response.status != 202).then_some(response)
    })
    .await;
    refused.expect_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    shopper.checkout_request(&held).send().await.expect_problem(503, "unavailable");
    let shown = world.client().get(&format!("/api/items/{}", item.id)).send().await;
    shown.expect(200);

    world.redis.empty_disk();
    let order = eventually("there is room again", Duration::from_secs(30), async || {
        let response = shopper.checkout_request(&held).send().await;
        (response.status == 201).then(|| response.json())
    })
    .await;
    // Everything that was accepted before, during and after is there when Redis reads its file again.
    let counters = seller.counters(&item).await;
    counters.assert_conserved();
    eventually("Redis has written everything", Duration::from_secs(30), async || {
        let info: redis::InfoDict = world.redis.command(&["INFO", "persistence"]).await;
        let buffered: i64 = info.get("aof_buffer_length")?;
        let status: String = info.get("aof_last_write_status")?;
        (buffered == 0 && status == "ok").then_some(())
    })
    .await;
    world.redis.kill9();
    world.redis.restart().await;
    assert_eq!(
        shopper
            .client()
            .get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
            .insist()
            .await
            .expect(200)["id"],
        order["id"]
    );
    assert_eq!(seller.counters(&item).await, counters);
    seller.audit(&item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_forgets_are_brought_again() {
    let (world, item) = World::builder().unchecked().selling(100).await;
    let seller = world.seller();
    let shoppers = world.shoppers(100).await;

    let (orders, flushes) = meanwhile(insist(shoppers, item.clone()), usize::MAX, async || {
        let _: String = world.redis.command(&["SCRIPT", "FLUSH"]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    })
    .await;
    assert_eq!(orders.len(), 100);
    assert!(flushes > 1);
    seller.expect_counters(&item, Counters::ordered(100, 100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_a_reservation_stays_below_400_bytes() {
    let (world, item) = World::builder().unchecked().selling(2_000).await;
    let shoppers = world.shoppers(2_001).await;
    // Scripts are loaded and connections made before the count begins.
    shoppers[2_000].hold(&item).await;
    let before = used_memory(&world).await;
    let reservations = crowd(1_999, 64, |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move { shopper.reserve(&item).await.expect(202) }
    })
    .await;
    shoppers[1_998].result(&reservations[1_998]).await;
    let each = (used_memory(&world).await - before) / 1_999;
    assert!(each <= 400, "{each} bytes of Redis memory a reservation:\n{}", memory_by_key(&world).await);
}

/// Memory of the data alone, without connections and the append-only file's buffers.
async fn used_memory(world: &World) -> i64 {
    let info: redis::InfoDict = world.redis.command(&["INFO", "memory"]).await;
    info.get("used_memory_dataset").unwrap()
}

async fn memory_by_key(world: &World) -> String {
    let keys: Vec<String> = world.redis.command(&["KEYS", "*"]).await;
    let mut lines = Vec::new();
    for key in keys {
        let bytes: i64 = world.redis.command(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await;
        lines.push(format!("{bytes:>10} {key}"));
    }
    lines.sort();
    lines.join("\n")
}
