use std::time::{Duration, Instant};

use serde_json::Value;
use stampede_tests::{Counters, Item, ItemTerms, Shopper, World, crowd, eventually, meanwhile, orders_in};

/// A crowd that insists; gives everybody's order.
async fn insist(shoppers: Vec<Shopper>, item: Item) -> Vec<Value> {
    crowd(shoppers.len(), 64, move |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move {
            let reservation = shopper.insist_on_reservation(&item).await;
            let held = shopper.result(&reservation).await;
            assert_eq!(held["state"], "held", "{held}");
            shopper.checkout(&held).await.expect(201)
        }
    })
    .await
}

async fn arrive(world: &World, count: usize) -> Vec<Shopper> {
    let client = world.client();
    crowd(count, 64, |_| {
        let client = client.clone();
        async move { Shopper::arrive(&client).await }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_in_mid_sale_comes_back_with_everything() {
    let mut world = World::builder().unchecked().start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(200)).await;
    let shoppers = arrive(&world, 200).await;

    let redis = &mut world.redis;
    let mut sold = 0;
    let (orders, kills) = meanwhile(insist(shoppers, item.clone()), 3, async || {
        // Not before something has happened since the last time.
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

    let state = world.state_folder();
    let rows = eventually("every order is in the database", Duration::from_secs(20), async || {
        let rows = orders_in(state);
        (rows.len() >= 200).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 200);
}

#[tokio::test]
async fn while_redis_is_gone_the_answer_is_to_try_later_and_then_all_goes_on() {
    let mut world = World::start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let mut body = world.shopper().await.solved_challenge(&item).await.unwrap();
    body["quantity"] = 1.into();

    world.redis.kill9();
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(10) {
        let path = format!("/api/reservations/{}", held["id"].as_str().unwrap());
        let answers = [
            shopper.client().get(&path).send().await,
            shopper.checkout_request(&held).send().await,
            shopper.ask_reservation(&item, &body).await,
        ];
        for answer in answers {
            // A foreign challenge may be refused without Redis; nothing may be promised.
            assert!(matches!(answer.status, 503 | 422), "{answer}");
        }
        // What is public does not need Redis.
        let shown = world.client().get(&format!("/api/items/{}", item.id)).send().await;
        assert!(matches!(shown.status, 200 | 503), "{shown}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    world.redis.restart().await;

    assert_eq!(shopper.look(&held).await.expect(200)["state"], "held");
    shopper.checkout(&held).await.expect(201);
    // Doorbells and alarms are heard again: a new hold comes without anybody ticking.
    world.shopper().await.hold(&item).await;
    seller.expect_counters(&item, Counters { held: 1, ..Counters::ordered(5, 1) }.with_available(3)).await;
    let state = world.state_folder();
    eventually("the order is in the database", Duration::from_secs(10), async || {
        (orders_in(state).len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_the_disk_of_redis_is_full_nothing_is_promised_and_then_all_goes_on() {
    let mut world = World::start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;

    world.redis.fill_disk();
    // Redis notices when it cannot write what it was told last, and takes no more until it can.
    let refused = eventually("a request is refused", Duration::from_secs(30), async || {
        let late = world.shopper().await;
        let answer = late.reserve(&item).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    refused.expect_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    shopper.checkout_request(&held).send().await.expect_problem(503, "unavailable");
    let shown = world.client().get(&format!("/api/items/{}", item.id)).send().await;
    shown.expect(200);

    world.redis.empty_disk();
    let order = eventually("there is room again", Duration::from_secs(30), async || {
        let answer = shopper.checkout_request(&held).send().await;
        (answer.status == 201).then(|| answer.json())
    })
    .await;
    // What was accepted before, during and after is there once more when Redis reads its file again.
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
    let world = World::builder().unchecked().start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(100)).await;
    let shoppers = arrive(&world, 100).await;

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
    let world = World::builder().unchecked().start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(2_000)).await;
    let shoppers = arrive(&world, 2_001).await;
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
