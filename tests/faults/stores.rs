use std::time::Duration;

use stampede_tests::{Counters, World, empty_key_value, eventually};

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
