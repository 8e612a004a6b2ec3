use std::time::Duration;

use serde_json::Value;
use stampede_tests::{Item, ItemTerms, Seller, Shopper, World, crowd, eventually, meanwhile, orders_in};

use crate::provider::{Provider, pay};

/// Each shopper takes this many of the 10,000.
const UNITS: i64 = 20;
const STOCK: i64 = 10_000;

/// Shoppers `range` buy their units, whatever happens meanwhile. Returns their orders.
async fn buy(shoppers: &[Shopper], item: &Item) -> Vec<Value> {
    let (shoppers, item) = (shoppers.to_vec(), item.clone());
    crowd(shoppers.len(), 32, move |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move { buy_one(&shopper, &item).await }
    })
    .await
}

/// Insists until there is an order. Reserves again when Redis forgot the hold, as the page would.
async fn buy_one(shopper: &Shopper, item: &Item) -> Value {
    eventually("an order", Duration::from_secs(120), async || {
        let mut body = shopper.solved_challenge(item).await.ok()?;
        body["quantity"] = UNITS.into();
        let response = shopper.reservation_request(item, &body).try_send().await.ok()?;
        let mut reservation = matches!(response.status, 200..=202).then(|| response.json())?;
        while reservation["state"] == "queued" {
            let path = format!("/api/reservations/{}", reservation["id"].as_str()?);
            let response = shopper.client().get(&path).try_send().await.ok()?;
            match response.status {
                200 => reservation = response.json(),
                404 => return None,
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let response = shopper.checkout_request(&reservation).try_send().await.ok()?;
        (response.status == 201).then(|| response.json())
    })
    .await
}

/// Waits until all of these orders, and no others, are in the order database.
async fn recorded(world: &World, orders: usize) {
    world.recorded_orders(orders, Duration::from_secs(60)).await;
}

/// Waits until the order database has every event of the item.
async fn recorded_events(seller: &Seller, item: &Item) {
    let path = format!("/api/admin/items/{}/stats", item.id);
    eventually("every event is in the database", Duration::from_secs(30), async || {
        (seller.client().get(&path).insist().await.expect(200)["outbox"] == 0).then_some(())
    })
    .await;
}

async fn reconcile(seller: &Seller) -> Value {
    eventually("all is reconciled", Duration::from_secs(60), async || {
        let response = seller.client().post("/api/admin/reconcile").insist().await.expect(200);
        (response["finished"] == true).then_some(response)
    })
    .await
}

fn terms() -> ItemTerms {
    ItemTerms::of(STOCK).limited_to(UNITS)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_in_a_sale_of_10_000_loses_nothing_and_is_rebuilt_when_emptied() {
    let (mut world, item) = World::builder().unchecked().selling(terms()).await;
    let seller = world.seller();
    let shoppers = world.shoppers(500).await;

    let redis = &mut world.redis;
    let mut sold = 0;
    let (orders, kills) = meanwhile(buy(&shoppers[..300], &item), 2, async || {
        eventually("some more is sold", Duration::from_secs(60), async || {
            let counters = seller.counters(&item).await;
            let taken = counters.total - counters.available;
            (taken > sold + 400 || taken >= 300 * UNITS).then(|| sold = taken)
        })
        .await;
        redis.kill9();
        redis.restart().await;
    })
    .await;
    assert!(kills > 0);
    assert_eq!(orders.len(), 300);
    recorded(&world, 300).await;
    let counters = seller.counters(&item).await;
    assert_eq!((counters.held, counters.ordered, counters.available), (0, 6_000, 4_000));
    seller.audit(&item).await;

    let (payer, provider) = (&shoppers[1], Provider::of(&world));
    let payment = pay(payer, &orders[1]).await;
    recorded_events(&seller, &item).await;

    // Now Redis is empty. Until the lane is rebuilt, the shop sells nothing and tells everybody to wait.
    let _: String = world.redis.command(&["FLUSHALL"]).await;
    let late = &shoppers[300];
    eventually("the item is not for sale", Duration::from_secs(10), async || {
        let response = late.ask_challenge(&item).await;
        matches!(response.status, 404 | 503).then_some(())
    })
    .await;
    let operator = seller.client();
    let audit = operator.post(&format!("/api/admin/items/{}/audit", item.id)).send().await.expect(200);
    assert!(audit["differences"][0].as_str().unwrap().contains("lost"), "{audit}");
    // The shop does not turn away money that comes now, and tells nobody that their order can't be paid.
    let total = UNITS * 39900;
    let response = provider.tell(&payment, "payment.succeeded", total).send().await;
    response.expect_problem(503, "unavailable");
    let path = format!("/api/orders/{}/payments", orders[2]["id"].as_str().unwrap());
    shoppers[2].client().post(&path).send().await.expect_problem(503, "unavailable");
    let mended = reconcile(&seller).await;
    assert_eq!((&mended["rebuilt"], &mended["orders"]), (&true.into(), &300.into()), "{mended}");
    assert_eq!(reconcile(&seller).await["rebuilt"], false, "once is enough");
    let counters = seller.counters(&item).await;
    assert_eq!(
        (counters.total, counters.held, counters.ordered, counters.available),
        (STOCK, 0, 6_000, 4_000)
    );
    let response = provider.tell(&payment, "payment.succeeded", total).insist().await.expect(200);
    assert_eq!(response["state"], "paid");
    seller.audit(&item).await;

    // The sale goes on to its last unit, and not further.
    let more = buy(&shoppers[300..], &item).await;
    assert_eq!(more.len(), 200);
    recorded(&world, 500).await;
    let counters = seller.counters(&item).await;
    assert_eq!((counters.ordered, counters.sold, counters.available), (STOCK - UNITS, UNITS, 0));
    let one_more = world.shopper().await;
    eventually("it is sold out", Duration::from_secs(10), async || {
        let response = one_more.ask_challenge(&item).await;
        (response.status == 410).then_some(())
    })
    .await;
    // The shop knows the shoppers who bought before Redis was lost: they can cancel and buy again.
    let path = format!("/api/orders/{}/cancel", orders[0]["id"].as_str().unwrap());
    shoppers[0].client().post(&path).insist().await.expect(200);
    buy(&shoppers[..1], &item).await;
    seller.audit(&item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_back_from_an_old_copy_is_noticed_and_brought_forward_in_mid_sale() {
    let (mut world, item) = World::builder().unchecked().selling(terms()).await;
    let seller = world.seller();
    let shoppers = world.shoppers(500).await;
    let copy = world.folder().join("copy-of-redis");

    buy(&shoppers[..100], &item).await;
    recorded(&world, 100).await;
    world.redis.save_copy(&copy).await;
    // The copy does not have these 200 orders; the order database does.
    buy(&shoppers[100..300], &item).await;
    recorded(&world, 300).await;

    // A crowd goes on buying while Redis comes back from the old copy.
    let redis = &mut world.redis;
    let (orders, _) = meanwhile(buy(&shoppers[300..], &item), 1, async || {
        redis.come_back_with(&copy).await;
    })
    .await;
    assert_eq!(orders.len(), 200);
    // Nobody asks for it: the ledger brings a lane forward when the host reaches Redis again, or when events contradict.
    let counters = eventually("the lane is what it should be", Duration::from_secs(60), async || {
        seller.tick().await;
        let counters = seller.counters(&item).await;
        (counters.total == STOCK && counters.held == 0 && counters.available == 0).then_some(counters)
    })
    .await;
    assert_eq!(counters.ordered, STOCK, "{counters:?}");
    seller.audit(&item).await;
    let state = world.state_folder();
    let rows = eventually("every order is in the database", Duration::from_secs(60), async || {
        let rows = orders_in(state);
        (rows.iter().filter(|row| row.state == "unpaid").count() == 500).then_some(rows)
    })
    .await;
    let units: i64 = rows.iter().filter(|row| row.state == "unpaid").map(|row| row.quantity).sum();
    assert_eq!(units, STOCK, "not one is sold twice");
}
