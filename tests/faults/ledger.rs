use std::time::{Duration, Instant};

use stampede_tests::{
    Item, ItemTerms, Postgres, Proxy, Shopper, Weather, World, crowd, eventually, lock_database, orders_in,
};

/// A purchase up to the order by a shopper who does not ask twice. Any response but a success is a failure.
async fn notices_nothing(world: &World, item: &Item) {
    let shopper = Shopper::arrive(&world.client()).await;
    let held = shopper.hold(item).await;
    let order = shopper.checkout_request(&held).send().await.expect(201);
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(shopper.client().get(&path).send().await.expect(200)["state"], "unpaid");
    let listed = shopper.client().get("/api/orders").send().await.expect(200);
    assert_eq!(listed["orders"][0]["id"], order["id"], "an order just made is shown");
    let payments = format!("{path}/payments");
    shopper.client().post(&payments).send().await.expect(201);
}

/// Shoppers buy, a few at a time, for `seconds`. Returns how many bought.
async fn shop_for(world: &World, item: &Item, seconds: u64) -> usize {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut shoppers = 0;
    while Instant::now() < until {
        crowd(4, 4, |_| notices_nothing(world, item)).await;
        shoppers += 4;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    shoppers
}

/// The numbers of orders and of events in a PostgreSQL database; an error where it can't be asked.
async fn counts(url: &str) -> anyhow::Result<(usize, i64, i64)> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let row = client
        .query_one(
            "SELECT (SELECT count(DISTINCT reservation_id) FROM orders), (SELECT count(*) FROM events), \
             (SELECT coalesce(max(seq), 0) FROM lanes)",
            &[],
        )
        .await?;
    connection.abort();
    let orders: i64 = row.get(0);
    Ok((usize::try_from(orders)?, row.get(1), row.get(2)))
}

async fn on_postgres(server: &Postgres) -> (World, String) {
    let url = make_database(server).await;
    let origin = url.split('?').next().unwrap().replace("stampede@", "").replace("/stampede", "");
    let world = World::builder().set("ledger", &url).set("ledger_origin", origin).start().await;
    (world, url)
}

/// An empty database for a shop, and its URL.
async fn make_database(server: &Postgres) -> String {
    let url = server.url("postgres");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE DATABASE stampede").await.unwrap();
    server.url("stampede")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_locked_for_thirty_seconds_of_a_sale_is_noticed_by_no_shopper() {
    let (world, item) = World::selling(1_000).await;
    let seller = world.seller();
    let before = shop_for(&world, &item, 1).await;
    let state = world.state_folder();
    eventually("the first orders are in the database", Duration::from_secs(10), async || {
        (orders_in(state).len() == before).then_some(())
    })
    .await;
    let lock = lock_database(state);
    let during = shop_for(&world, &item, 30).await;
    assert_eq!(orders_in(state).len(), before, "nothing was recorded meanwhile");
    drop(lock);
    let rows = eventually("every order is in the database", Duration::from_secs(30), async || {
        let rows = orders_in(state);
        (rows.len() >= before + during).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), before + during, "and once");
    seller.audit(&item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_gone_for_thirty_seconds_of_a_sale_is_noticed_by_no_shopper() {
    let server = Postgres::start().unwrap();
    let (world, url) = on_postgres(&server).await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(1_000)).await;
    let before = shop_for(&world, &item, 1).await;
    eventually("the first orders are in the database", Duration::from_secs(20), async || {
        (counts(&url).await.ok()?.0 == before).then_some(())
    })
    .await;
    server.crash().unwrap();
    let during = shop_for(&world, &item, 30).await;
    server.resume().unwrap();
    let (orders, events, written) =
        eventually("every order is in the database", Duration::from_secs(30), async || {
            counts(&url).await.ok().filter(|(orders, ..)| *orders >= before + during)
        })
        .await;
    assert_eq!(orders, before + during, "and once");
    assert_eq!(events, written, "each event once, and none is missing");
    seller.audit(&item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_restarted_in_mid_sale_has_every_order_once() {
    let server = Postgres::start().unwrap();
    let (world, url) = on_postgres(&server).await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(1_000)).await;
    let mut shoppers = 0;
    for _ in 0..3 {
        shoppers += shop_for(&world, &item, 2).await;
        server.crash().unwrap();
        server.resume().unwrap();
    }
    shoppers += shop_for(&world, &item, 1).await;
    let (orders, events, written) =
        eventually("every order is in the database", Duration::from_secs(30), async || {
            counts(&url).await.ok().filter(|(orders, ..)| *orders >= shoppers)
        })
        .await;
    assert_eq!((orders, events), (shoppers, written));
    seller.audit(&item).await;
    // The operator's calls that read the database work too, and show what it has.
    let totals =
        seller.client().post(&format!("/api/admin/items/{}/audit", item.id)).send().await.expect(200);
    assert_eq!(totals["recorded"][0]["orders"], shoppers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_accepts_and_never_answers_delays_no_grant_no_alarm_and_no_tick() {
    const LANES: usize = 6;
    let server = Postgres::start().unwrap();
    let direct = make_database(&server).await;
    let proxy = Proxy::start().await;
    let origin = direct.split('?').next().unwrap().replace("stampede@", "").replace("/stampede", "");
    let port: u16 = origin.rsplit(':').next().unwrap().parse().unwrap();
    proxy.lead_to(port);
    let through = |url: &str| url.replace(&format!(":{port}"), &format!(":{}", proxy.port()));
    let (ledger, ledger_origin) = (through(&direct), through(&origin));
    let world = World::builder()
        .set("ledger", ledger)
        .set("ledger_origin", ledger_origin)
        .set("hold_seconds", 3)
        .start()
        .await;
    let seller = world.seller();
    let mut items = Vec::new();
    for _ in 0..LANES {
        items.push(seller.publish(&ItemTerms::of(100)).await);
    }
    let before = shop_for(&world, &items[0], 1).await;
    eventually("the first orders are in the database", Duration::from_secs(20), async || {
        (counts(&direct).await.ok()?.0 == before).then_some(())
    })
    .await;
    proxy.set(Weather::Silent);

    // Every lane gets an order, so every lane's outbox asks for the database.
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        for item in &items {
            let shopper = world.shopper().await;
            let asked = Instant::now();
            let held = shopper.hold(item).await;
            slowest = slowest.max(asked.elapsed());
            shopper.checkout(&held).await.expect(201);
        }
    }
    assert!(slowest < Duration::from_millis(2_500), "a grant took {slowest:?} while the database hung");
    let returning = world.shopper().await;
    returning.hold(&items[1]).await;
    let held_at = Instant::now();
    eventually("the hold lapses", Duration::from_secs(6), async || {
        (seller.counters(&items[1]).await.held == 0).then_some(())
    })
    .await;
    assert!(held_at.elapsed() < Duration::from_secs(5), "an alarm took {:?}", held_at.elapsed());
    // A tick finds the hang once, not once a lane.
    let asked = Instant::now();
    let ticked = seller.tick().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "a tick took {:?}", asked.elapsed());
    assert_eq!(ticked["lanes"], LANES, "{ticked}");
    assert_eq!(ticked["failures"].as_array().unwrap().len(), 1, "{ticked}");

    proxy.set(Weather::Fine);
    let orders = before + 3 * LANES;
    eventually("every order is in the database", Duration::from_secs(30), async || {
        (counts(&direct).await.ok()?.0 == orders).then_some(())
    })
    .await;
    seller.audit(&items[1]).await;
}
