use std::time::Duration;

use serde_json::Value;
use stampede_tests::{Counters, ItemTerms, Shopper, World, crowd, eventually, orders_in};

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_at_once_sell_every_unit_once() {
    let world = World::builder().unchecked().start().await;
    let other = world.start_another_host().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(100)).await;
    let client = world.client();
    let shoppers = crowd(500, 64, |_| {
        let client = client.clone();
        async move { Shopper::arrive(&client).await }
    })
    .await;

    let second = other.base();
    let outcomes = crowd(500, 128, |number| {
        let shopper = &shoppers[number];
        // Every other shopper at the second host; each polls and pays at the other one.
        let (here, there) = if number % 2 == 0 {
            (shopper.clone(), shopper.at(&second))
        } else {
            (shopper.at(&second), shopper.clone())
        };
        let item = item.clone();
        async move {
            let answer = here.reserve(&item).await;
            if answer.status == 410 {
                return None;
            }
            let result = there.result(&answer.expect(202)).await;
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

    let state = world.state_folder();
    let rows = eventually("every order is in the database", Duration::from_secs(20), async || {
        let rows = orders_in(state);
        (rows.len() >= 100).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 100);
}
