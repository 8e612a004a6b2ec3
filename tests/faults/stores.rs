use std::time::Duration;

use stampede_tests::{Counters, ItemTerms, World, empty_key_value, eventually, lock_database, orders_in};

#[tokio::test]
async fn an_emptied_key_value_store_costs_nobody_anything() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(3)).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;

    empty_key_value(world.state_folder());
    assert_eq!(shopper.look(&held).await.expect(200)["state"], "held");
    world.shopper().await.hold(&item).await;
    // What was published is found again, in the list too.
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

#[tokio::test]
async fn a_locked_order_database_is_noticed_by_no_shopper() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(20)).await;
    // One order first, so that the tables exist and the lock is one on a database in use.
    let first = world.shopper().await;
    let held = first.hold(&item).await;
    first.checkout(&held).await.expect(201);
    let state = world.state_folder();
    eventually("the first order is in the database", Duration::from_secs(10), async || {
        (orders_in(state).len() == 1).then_some(())
    })
    .await;

    let lock = lock_database(state);
    for _ in 0..10 {
        let shopper = world.shopper().await;
        let held = shopper.hold(&item).await;
        let order = shopper.checkout(&held).await.expect(201);
        let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
        shopper.client().get(&path).send().await.expect(200);
    }
    // Longer than any patience for a lock.
    tokio::time::sleep(Duration::from_secs(30)).await;
    seller.expect_counters(&item, Counters::ordered(20, 11)).await;
    drop(lock);

    let rows = eventually("every order is in the database, once", Duration::from_secs(20), async || {
        let rows = orders_in(state);
        (rows.len() >= 11).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 11);
}
