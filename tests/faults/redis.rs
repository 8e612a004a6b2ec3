use std::time::{Duration, Instant};

use serde_json::Value;
use stampede_tests::{
    AppendOnly, Counters, Item, Shopper, World, crowd, eventually, lock_database, meanwhile, orders_in,
};

use crate::provider::{Provider, pay};

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
    // Those whom Redis admitted before it refused are decided now.
    let stats = format!("/api/admin/items/{}/stats", item.id);
    eventually("nobody waits", Duration::from_secs(30), async || {
        (seller.client().get(&stats).insist().await.expect(200)["waiting"] == 0).then_some(())
    })
    .await;
    // Everything that was accepted before, during and after is there when Redis reads its file again.
    let counters = seller.counters(&item).await;
    counters.assert_conserved();
    world.redis.written().await;
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

/// Fills the disk of Redis, and waits until Redis has noticed it and refuses every write.
async fn refuse_writes(world: &World) {
    world.redis.fill_disk();
    eventually("Redis refuses writes", Duration::from_secs(30), async || {
        let mut connection = world.redis.connection().await;
        redis::cmd("SET").arg("a").arg(1).exec_async(&mut connection).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_order_whose_alarm_rang_while_the_disk_was_full_times_out_by_itself() {
    let (world, item) = World::builder().set("pay_seconds", 2).selling(1).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    refuse_writes(&world).await;
    // The alarm rings once, and the work that it calls for is refused.
    eventually("the alarm was refused", Duration::from_secs(20), async || {
        let log = world.host.log();
        log.lines().any(|line| line.contains("\"alarm\"") && line.contains("MISCONF")).then_some(())
    })
    .await;
    world.redis.empty_disk();
    // Nobody polls and nothing ticks. The database hears of it from the outbox.
    let state = world.state_folder();
    eventually("the order times out", Duration::from_secs(20), async || {
        orders_in(state).iter().any(|row| row.id == order["id"] && row.state == "timed_out").then_some(())
    })
    .await;
    world.seller().expect_counters(&item, Counters::untouched(1)).await;
}

#[tokio::test]
async fn a_host_that_starts_while_redis_refuses_writes_lives_and_is_ready_when_redis_is() {
    let (mut world, item) = World::selling(3).await;
    refuse_writes(&world).await;
    world.host.begin_restart();
    eventually("the host lives", Duration::from_secs(60), async || {
        let response = world.client().get("/healthz").try_send().await.ok()?;
        (response.status == 200).then_some(())
    })
    .await;
    world.client().get("/readyz").send().await.expect_problem(503, "unavailable");
    world.redis.empty_disk();
    eventually("the host is ready", Duration::from_secs(60), async || {
        (world.client().get("/readyz").send().await.status == 200).then_some(())
    })
    .await;
    // It hears doorbells: a hold comes without a tick.
    world.shopper().await.hold(&item).await;
}

#[tokio::test]
async fn a_redis_that_syncs_always_ends_on_a_full_disk_and_comes_back_with_all_that_it_answered() {
    let (mut world, item) = World::builder().with_append_only(AppendOnly::Always).selling(5).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    world.redis.fill_disk();
    shopper.checkout_request(&held).send().await.expect_problem(503, "unavailable");
    world.redis.empty_disk_and_go_on().await;
    let path = format!("/api/reservations/{}", held["id"].as_str().unwrap());
    assert_eq!(shopper.client().get(&path).insist().await.expect(200)["state"], "held");
    let order = eventually("the checkout goes on", Duration::from_secs(20), async || {
        let response = shopper.checkout_request(&held).send().await;
        (response.status == 201).then(|| response.json())
    })
    .await;
    world.redis.kill9();
    world.redis.restart().await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(shopper.client().get(&path).insist().await.expect(200)["state"], "unpaid");
    world.seller().audit(&item).await;
}

#[tokio::test]
async fn a_payment_is_confirmed_only_when_redis_can_no_longer_forget_it() {
    let (mut world, item) = World::selling(3).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    let payment = pay(&shopper, &order).await;
    let provider = Provider::of(&world);
    world.recorded_orders(1, Duration::from_secs(20)).await;
    world.redis.written().await;

    // Redis takes the next command, and notices only afterwards that it can't keep it.
    world.redis.fill_disk();
    let total = order["total"]["amount"].as_i64().unwrap();
    provider.tell(&payment, "payment.succeeded", total).send().await.expect_problem(503, "unavailable");
    world.redis.kill9();
    world.redis.restart().await;
    let forgotten =
        shopper.client().get(&format!("/api/orders/{}", order["id"].as_str().unwrap())).insist().await;
    assert_eq!(forgotten.expect(200)["state"], "unpaid", "otherwise this test shows nothing");

    let told = provider.tell(&payment, "payment.succeeded", total).insist().await.expect(200);
    assert_eq!(told["state"], "paid");
    let rows = orders_in(world.state_folder());
    assert_eq!(rows[0].state, "paid", "the database has it before the provider is told so");
    world.seller().audit(&item).await;
}

#[tokio::test]
async fn a_payment_is_not_confirmed_while_the_order_database_is_locked() {
    let (world, item) = World::selling(3).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    let payment = pay(&shopper, &order).await;
    world.recorded_orders(1, Duration::from_secs(20)).await;
    let lock = lock_database(world.state_folder());
    let (provider, total) = (Provider::of(&world), order["total"]["amount"].as_i64().unwrap());
    provider.tell(&payment, "payment.succeeded", total).send().await.expect_problem(503, "unavailable");
    // The shopper does not wait for the database.
    assert_eq!(shopper.look_at_order(&order).await["state"], "paid");
    drop(lock);
    let told = provider.tell(&payment, "payment.succeeded", total).insist().await.expect(200);
    assert_eq!((&told["state"], &told["changed"]), (&"paid".into(), &false.into()));
    assert_eq!(orders_in(world.state_folder())[0].state, "paid");
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
