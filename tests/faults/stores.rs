use std::time::Duration;

use stampede_tests::{BrokenStore, Counters, ItemTerms, World, empty_key_value, eventually, values_in_store};

#[tokio::test]
async fn a_store_that_is_empty_or_gone_says_of_no_published_item_that_it_is_not_there() {
    let (world, item) = World::selling(3).await;
    let other = world.seller().publish(&ItemTerms::of(1)).await;
    let client = world.client();
    let paths = [
        format!("/api/items/{}", item.id),
        format!("/api/items/{}", other.id),
        format!("/api/sales/{}", item.sale_id),
        "/api/sales".to_owned(),
    ];
    let everything_is_there = async |when: &str| {
        for path in &paths {
            let response = client.get(path).send().await;
            assert_eq!(response.status, 200, "{when}: {response}");
            assert!(response.json()["total"].as_u64().is_none_or(|total| total == 2), "{when}: {response}");
        }
    };
    everything_is_there("at first").await;
    for round in 0..5 {
        empty_key_value(world.state_folder());
        // An instance remembers what it read for a moment. Then it finds the store empty, and fills it again.
        while values_in_store(world.state_folder(), "sales").is_empty() {
            everything_is_there(&format!("emptied {round}")).await;
        }
    }
    let broken = BrokenStore::of(world.state_folder());
    let begun = std::time::Instant::now();
    // Longer than an instance remembers anything.
    while begun.elapsed() < Duration::from_secs(3) {
        everything_is_there("gone").await;
    }
    client.get("/readyz").send().await.expect_problem(503, "unavailable");
    let made_up = client.get("/api/items/i2222222222").send().await;
    made_up.expect_problem(404, "not-found");
    drop(broken);
    everything_is_there("back").await;
    client.get("/readyz").insist().await.expect(200);
}

#[tokio::test]
async fn an_emptied_key_value_store_costs_nobody_anything() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;

    empty_key_value(world.state_folder());
    assert_eq!(shopper.look(&held).await.expect(200)["state"], "held");
    world.shopper().await.hold(&item).await;
    // The shop finds its published items again, in the list too.
    let client = world.client();
    eventually("the item is shown again", Duration::from_secs(5), async || {
        (client.get(&format!("/api/items/{}", item.id)).send().await.status == 200).then_some(())
    })
    .await;
    eventually("the sale is listed again", Duration::from_secs(5), async || {
        (client.get("/api/sales").send().await.expect(200)["total"] == 1).then_some(())
    })
    .await;
    shopper.checkout(&held).await.expect(201);
    let counters = Counters { held: 1, ..Counters::ordered(3, 1) }.with_available(1);
    seller.expect_counters(&item, counters).await;
}
