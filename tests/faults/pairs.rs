use std::time::Duration;

use serde_json::Value;
use stampede_tests::{Counters, ItemTerms, World, crowd};

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_at_once_sell_every_unit_once() {
    let world = World::builder().unchecked().start().await;
    let other = world.start_another_host().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(100)).await;
    let shoppers = world.shoppers(500).await;

    let second = other.base();
    let outcomes = crowd(500, 128, |number| {
        let shopper = &shoppers[number];
        // Every other shopper reserves at the second host; each polls and pays at the other one.
        let (here, there) = if number % 2 == 0 {
            (shopper.clone(), shopper.at(&second))
        } else {
            (shopper.at(&second), shopper.clone())
        };
        let item = item.clone();
        async move {
            let response = here.reserve(&item).await;
            if response.status == 410 {
                return None;
            }
            let result = there.result(&response.expect(202)).await;
            match result["state"].as_str() {
                Some("held") => Some(there.checkout(&result).await.expect(201)),
                Some("sold_out") => None,
                _ => panic!("{result}"),
            }
        }
    })
    .await;
    let orders: Vec<Value> = outcomes.into_iter().flatten().collect();
    assert_eq!(orders.len(), 100);
    seller.expect_counters(&item, Counters::ordered(100, 100)).await;

    world.recorded_orders(100, Duration::from_secs(20)).await;
}
