use std::time::Duration;

use serde_json::json;
use stampede_tests::{Counters, Item, ItemTerms, World, crowd, eventually};

#[tokio::test]
async fn a_queued_reservation_becomes_a_hold_by_itself() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    let response = shopper.reserve(&item).await;
    let queued = response.expect(202);
    let id = queued["id"].as_str().unwrap();
    assert_eq!(response.header("location"), Some(format!("/api/reservations/{id}").as_str()));
    assert_eq!(queued["item_id"], item.id.as_str());
    assert_eq!(queued["quantity"], 1);

    let held = shopper.result(&queued).await;
    assert_eq!(held["state"], "held");
    assert!(held["hold_expires_at"].is_string(), "{held}");
    seller.expect_counters(&item, Counters::held(3, 1)).await;
}

#[tokio::test]
async fn an_instant_item_is_decided_on_the_spot() {
    let (world, item) = World::selling(ItemTerms::of(1).instant()).await;
    let seller = world.seller();

    let held = world.shopper().await.reserve(&item).await.expect(201);
    assert_eq!(held["state"], "held");
    let late = world.shopper().await;
    late.reserve(&item).await.expect_problem(410, "sold-out");
    seller.expect_counters(&item, Counters::held(1, 1)).await;
}

#[tokio::test]
async fn the_same_wish_again_gets_the_reservation_that_is_alive() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    let held = shopper.hold(&item).await;
    let again = shopper.reserve(&item).await.expect(200);
    assert_eq!(again["id"], held["id"]);
    assert_eq!(again["state"], "held");

    let order = shopper.checkout(&held).await.expect(201);
    let after_checkout = shopper.reserve(&item).await.expect(200);
    assert_eq!(after_checkout["id"], held["id"]);
    assert_eq!(after_checkout["state"], "ordered");
    assert_eq!(after_checkout["order_id"], order["id"]);
    seller.expect_counters(&item, Counters::ordered(3, 1)).await;
}

#[tokio::test]
async fn twenty_clicks_at_once_are_one_reservation() {
    let (world, item) = World::selling(50).await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    let clicks = crowd(20, 20, |_| {
        let (shopper, item) = (shopper.clone(), item.clone());
        async move { shopper.reserve(&item).await }
    })
    .await;
    let mut ids: Vec<String> = clicks
        .iter()
        .map(|response| {
            assert!(matches!(response.status, 200 | 202), "{response}");
            response.json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(clicks.iter().filter(|response| response.status == 202).count(), 1);
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    shopper.result(&clicks[0].json()).await;
    seller.expect_counters(&item, Counters::held(50, 1)).await;
}

#[tokio::test]
async fn one_challenge_sent_twenty_times_at_once_is_one_reservation() {
    let (world, item) = World::selling(50).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);

    let sent = crowd(20, 20, |_| {
        let (shopper, item, body) = (shopper.clone(), item.clone(), body.clone());
        async move { shopper.ask_reservation(&item, &body).await }
    })
    .await;
    for response in &sent {
        assert!(matches!(response.status, 200 | 202 | 422), "{response}");
    }
    assert_eq!(sent.iter().filter(|response| response.status == 202).count(), 1);
    shopper.result(&shopper.reserve(&item).await.expect(200)).await;
    seller.expect_counters(&item, Counters::held(50, 1)).await;
}

#[tokio::test]
async fn nobody_gets_more_than_the_cap() {
    let (world, item) = World::selling(ItemTerms::of(10).limited_to(3)).await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    shopper.reserve_units(&item, 4).await.expect_problem(409, "purchase-limit");
    let queued = shopper.reserve_units(&item, 3).await.expect(202);
    let held = shopper.result(&queued).await;
    assert_eq!(held["quantity"], 3);
    seller.expect_counters(&item, Counters::held(10, 3)).await;
}

#[tokio::test]
async fn a_quantity_that_is_no_whole_positive_number_names_the_field() {
    let (world, item) = World::selling(ItemTerms::of(10).limited_to(3)).await;
    let shopper = world.shopper().await;
    for quantity in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null), json!(1e12)] {
        let mut body = shopper.solved_challenge(&item).await.unwrap();
        body["quantity"] = quantity.clone();
        let response = shopper.ask_reservation(&item, &body).await;
        // A quantity above the cap is well-formed; the cap refuses it.
        let problem =
            if quantity == json!(1e12) { response.json() } else { response.expect_problem(422, "invalid") };
        assert!(
            problem.to_string().contains("quantity") || problem["type"] == "/problems/purchase-limit",
            "{response}"
        );
    }
    assert_eq!(world.seller().counters(&item).await, Counters::untouched(10));
}

#[tokio::test]
async fn a_reservation_belongs_to_its_shopper_alone() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let (owner, stranger) = (world.shopper().await, world.shopper().await);
    let held = owner.hold(&item).await;

    stranger.look(&held).await.expect_problem(404, "not-found");
    stranger.give_back(&held).await.expect_problem(404, "not-found");
    stranger.checkout(&held).await.expect_problem(404, "not-found");
    let path = format!("/api/reservations/{}", held["id"].as_str().unwrap());
    world.client().get(&path).send().await.expect_problem(401, "unauthorized");

    assert_eq!(owner.look(&held).await.expect(200)["state"], "held");
    seller.expect_counters(&item, Counters::held(3, 1)).await;
}

#[tokio::test]
async fn a_hold_that_is_given_back_goes_to_the_next_who_asks() {
    let (world, item) = World::selling(1).await;
    let seller = world.seller();
    let (first, second) = (world.shopper().await, world.shopper().await);

    let held = first.hold(&item).await;
    second.reserve(&item).await.expect_problem(410, "sold-out");
    first.give_back(&held).await.expect(204);
    assert_eq!(first.look(&held).await.expect(200)["state"], "released");
    seller.expect_counters(&item, Counters::untouched(1)).await;

    let reservation = eventually("the unit can be had again", Duration::from_secs(5), async || {
        let response = second.reserve(&item).await;
        (response.status == 202).then(|| response.json())
    })
    .await;
    assert_eq!(second.result(&reservation).await["state"], "held");
}

#[tokio::test]
async fn giving_back_twice_is_giving_back_once() {
    let (world, item) = World::selling(2).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;

    shopper.give_back(&held).await.expect(204);
    let again = shopper.give_back(&held).await;
    assert!(matches!(again.status, 204 | 409), "{again}");
    seller.expect_counters(&item, Counters::untouched(2)).await;
    // And the shopper may try again.
    shopper.hold(&item).await;
}

#[tokio::test]
async fn a_hold_lapses_on_time_and_its_unit_comes_back() {
    let (world, item) = World::builder().set("hold_seconds", 2).selling(1).await;
    let seller = world.seller();
    let (slow, next) = (world.shopper().await, world.shopper().await);

    let held = slow.hold(&item).await;
    // Nobody looks at the reservation meanwhile, so the alarm has to end it, within a second.
    eventually("the unit is free again", Duration::from_millis(3_500), async || {
        (seller.counters(&item).await == Counters::untouched(1)).then_some(())
    })
    .await;
    assert_eq!(slow.look(&held).await.expect(200)["state"], "expired");
    slow.checkout(&held).await.expect_problem(410, "hold-expired");
    next.hold(&item).await;
    seller.expect_counters(&item, Counters::held(1, 1)).await;
}

#[tokio::test]
async fn an_item_that_is_not_open_says_why() {
    let world = World::builder().set("captcha_kind", "off").start().await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let wish = json!({ "quantity": 1 });

    let upcoming = seller.publish(&ItemTerms::of(5).between(600.0, 3600.0)).await;
    shopper.ask_reservation(&upcoming, &wish).await.expect_problem(403, "not-started");

    let paused = seller.publish(&ItemTerms::of(5)).await;
    seller.order(&paused, "pause").await.expect(200);
    shopper.ask_reservation(&paused, &wish).await.expect_problem(503, "paused");

    let closed = seller.publish(&ItemTerms::of(5)).await;
    seller.order(&closed, "close").await.expect(200);
    shopper.ask_reservation(&closed, &wish).await.expect_problem(410, "ended");

    let draft = seller.draft(&ItemTerms::of(5)).await;
    shopper.ask_reservation(&draft, &wish).await.expect_problem(404, "not-found");

    for unknown in ["i0000000000", "nothing", "i-..", "r-i0000000000-0-000000000000"] {
        let item = Item { id: unknown.to_owned(), sale_id: String::new() };
        shopper.ask_reservation(&item, &wish).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_unknown_reservation_is_not_found_whatever_its_id() {
    let world = World::start().await;
    let shopper = world.shopper().await;
    for id in
        ["r-i0000000000-0-000000000000", "r-", "x", "%7Bi:0%7D:lane", "r-i0000000000-99999-0", "*", "%00"]
    {
        let response = shopper.client().get(&format!("/api/reservations/{id}")).send().await;
        response.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_full_queue_says_so_and_never_sold_out() {
    // Nothing drains the queue here, so it fills.
    let (world, item) = World::builder()
        .set("captcha_kind", "off")
        .set("queue_factor", 2)
        .without_doorbells()
        .selling(3)
        .await;
    let wish = json!({ "quantity": 1 });
    for _ in 0..6 {
        world.shopper().await.ask_reservation(&item, &wish).await.expect(202);
    }
    world.shopper().await.ask_reservation(&item, &wish).await.expect_problem(503, "queue-full");
}
