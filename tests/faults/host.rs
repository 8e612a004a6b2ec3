use std::time::Duration;

use serde_json::Value;
use stampede_tests::{Counters, World, crowd, meanwhile};

#[tokio::test]
async fn a_purchase_completes_although_the_host_is_killed_at_each_of_its_steps() {
    let (mut world, item) = World::builder().unchecked().selling(3).await;
    let seller = world.seller();

    let shopper = world.shopper().await;
    kill_and_restart(&mut world).await;
    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = 1.into();
    kill_and_restart(&mut world).await;
    let queued = shopper.ask_reservation(&item, &body).await.expect(202);
    kill_and_restart(&mut world).await;
    let held = shopper.result(&queued).await;
    assert_eq!(held["state"], "held");
    kill_and_restart(&mut world).await;
    let order = shopper.checkout(&held).await.expect(201);
    kill_and_restart(&mut world).await;
    let again = shopper.checkout(&held).await.expect(201);
    assert_eq!(again["id"], order["id"]);

    world.recorded_orders(1, Duration::from_secs(10)).await;
    seller.expect_counters(&item, Counters::ordered(3, 1)).await;
}

async fn kill_and_restart(world: &mut World) {
    world.host.kill9();
    world.host.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_its_result_although_the_host_is_killed_again_and_again() {
    let (mut world, item) = World::builder().unchecked().selling(50).await;
    let seller = world.seller();
    let shoppers = world.shoppers(50).await;

    let buy = crowd(50, 50, |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move { shopper.insist_on_order(&item).await }
    });
    let host = &mut world.host;
    let (orders, kills): (Vec<Value>, usize) = meanwhile(buy, 8, async || {
        host.kill9();
        host.restart().await;
    })
    .await;
    assert!(kills > 0);

    seller.expect_counters(&item, Counters::ordered(50, 50)).await;
    world.recorded_orders(orders.len(), Duration::from_secs(20)).await;
}

#[tokio::test]
async fn asked_to_stop_the_host_finishes_and_ends_well() {
    let (mut world, item) = World::selling(3).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    assert_eq!(world.host.stop().await, Some(0));
    world.host.restart().await;
    assert_eq!(shopper.look(&held).await.expect(200)["state"], "held");
}
