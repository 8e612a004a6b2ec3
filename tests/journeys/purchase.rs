use std::time::Duration;

use stampede_tests::{Counters, ItemTerms, World};

#[tokio::test]
async fn a_shopper_buys_from_the_list_to_an_order_in_the_database() {
    let (world, item) = World::selling(10).await;
    let seller = world.seller();

    // The list leads to the item, as a page would follow it.
    let sales = world.client().get("/api/sales").send().await.expect(200);
    let listed = sales["sales"][0]["items"][0]["id"].as_str().unwrap();
    assert_eq!(listed, item.id);
    let shown = world.client().get(&format!("/api/items/{listed}")).send().await.expect(200);
    assert_eq!(shown["state"], "open");

    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let order = shopper.checkout(&held).await.expect(201);
    let bought = shopper.look(&held).await.expect(200);
    assert_eq!(bought["state"], "ordered");
    assert_eq!(bought["order_id"], order["id"]);

    let rows = world.recorded_orders(1, Duration::from_secs(5)).await;
    assert_eq!(rows[0].id, order["id"].as_str().unwrap());
    assert_eq!(rows[0].reservation_id, held["id"].as_str().unwrap());
    assert_eq!(rows[0].item_id, item.id);
    seller.expect_counters(&item, Counters::ordered(10, 1)).await;
}

#[tokio::test]
async fn two_shops_side_by_side_do_not_know_of_each_other() {
    let (here, there) = tokio::join!(World::start(), World::start());
    let item = here.seller().publish(&ItemTerms::of(5)).await;
    let shopper = here.shopper().await;
    let held = shopper.hold(&item).await;
    shopper.checkout(&held).await.expect(201);

    there.client().get(&format!("/api/items/{}", item.id)).send().await.expect_problem(404, "not-found");
    assert_eq!(there.client().get("/api/sales").send().await.expect(200)["total"], 0);
    assert!(there.shopper().await.orders().await.is_empty());
}
