use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stampede_tests::{
    Client, Counters, Item, ItemTerms, Response, Shopper, World, crowd, solve_proof_of_work,
};

/// How many requests are under way at once.
const AT_ONCE: usize = 256;

/// What became of one shopper's wish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Held,
    SoldOut,
    Other(String),
}

/// Everybody tries for one unit and waits for the result.
async fn rush(shoppers: &[Shopper], item: &Item) -> Vec<(Outcome, Value)> {
    crowd(shoppers.len(), AT_ONCE, |number| {
        let (shopper, item) = (shoppers[number].clone(), item.clone());
        async move {
            let response: Response = shopper.reserve(&item).await;
            match (response.status, response.slug().as_deref()) {
                (410, Some("sold-out")) => (Outcome::SoldOut, Value::Null),
                (202, _) => {
                    let result = shopper.result(&response.json()).await;
                    match result["state"].as_str() {
                        Some("held") => (Outcome::Held, result),
                        Some("sold_out") => (Outcome::SoldOut, result),
                        _ => (Outcome::Other(result.to_string()), result),
                    }
                }
                _ => (Outcome::Other(response.to_string()), Value::Null),
            }
        }
    })
    .await
}

fn count(outcomes: &[(Outcome, Value)]) -> BTreeMap<Outcome, usize> {
    let mut counts = BTreeMap::new();
    for (outcome, _) in outcomes {
        *counts.entry(outcome.clone()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_thousand_shoppers_for_a_hundred_units() {
    let (world, item) = World::builder().unchecked().selling(100).await;
    let seller = world.seller();
    let shoppers = world.shoppers(7_000).await;

    let outcomes = rush(&shoppers, &item).await;
    assert_eq!(count(&outcomes), BTreeMap::from([(Outcome::Held, 100), (Outcome::SoldOut, 6_900)]));
    seller.expect_counters(&item, Counters::held(100, 100)).await;

    let buyers: Vec<(Shopper, Value)> = outcomes
        .iter()
        .zip(&shoppers)
        .filter(|((outcome, _), _)| *outcome == Outcome::Held)
        .map(|((_, reservation), shopper)| (shopper.clone(), reservation.clone()))
        .collect();
    let orders = crowd(buyers.len(), AT_ONCE, |number| {
        let (shopper, reservation) = buyers[number].clone();
        async move { shopper.checkout(&reservation).await.expect(201) }
    })
    .await;
    let bought: BTreeSet<String> =
        orders.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bought.len(), 100);
    seller.expect_counters(&item, Counters::ordered(100, 100)).await;

    let rows = world.recorded_orders(100, Duration::from_secs(20)).await;
    let recorded: BTreeSet<String> = rows.into_iter().map(|row| row.id).collect();
    assert_eq!(recorded, bought);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_items_of_fifty_and_a_thousand_shoppers_for_each() {
    let world = World::builder().unchecked().start().await;
    let seller = world.seller();
    let mut items = Vec::new();
    for _ in 0..3 {
        items.push(seller.publish(&ItemTerms::of(50)).await);
    }
    let shoppers = world.shoppers(1_000).await;

    let (first, second, third) =
        tokio::join!(rush(&shoppers, &items[0]), rush(&shoppers, &items[1]), rush(&shoppers, &items[2]));
    for (item, outcomes) in items.iter().zip([first, second, third]) {
        assert_eq!(count(&outcomes), BTreeMap::from([(Outcome::Held, 50), (Outcome::SoldOut, 950)]));
        seller.expect_counters(item, Counters::held(50, 50)).await;
    }
}

/// How often Redis has shown a part of the filter of holders, which is what a mark is made of.
async fn marks_made(world: &mut World) -> u64 {
    let statistics: String = world.redis.command(&["INFO", "commandstats"]).await;
    let calls = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_getrange:calls="));
    calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_sold_out_item_has_its_mark_refreshed_by_one_at_a_time() {
    let (mut world, item) = World::builder().unchecked().selling(1).await;
    let holder = world.shopper().await;
    let reservation = holder.hold(&item).await;
    let shoppers = world.shoppers(2_000).await;
    let begun = Instant::now();
    let mut refusals = 0;
    // Long enough for several marks to be made and to expire.
    while begun.elapsed() < Duration::from_secs(4) {
        let outcomes = rush(&shoppers, &item).await;
        assert_eq!(count(&outcomes), BTreeMap::from([(Outcome::SoldOut, shoppers.len())]));
        refusals += outcomes.len() as u64;
        let again = holder.reserve(&item).await.expect(200);
        assert_eq!(again["id"], reservation["id"], "the mark lets a shopper with a reservation through");
    }
    let (made, elapsed) = (marks_made(&mut world).await, begun.elapsed().as_secs());
    println!("{refusals} refusals in {elapsed} s, {made} marks");
    // An instance makes a mark at most twice a second, if all of them always find the mark expired in the same moment. The
    // crowd keeps about one instance busy for each 16 requests under way.
    let instances = AT_ONCE as u64 / 16;
    assert!(made <= instances * 2 * (elapsed + 1), "{made} marks for {refusals} refusals in {elapsed} s");
    assert!(made * 20 < refusals, "{made} marks for {refusals} refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_doorbell_lost_polls_alone_bring_the_crowd_its_result() {
    let (world, item) = World::builder().unchecked().without_doorbells().selling(100).await;
    let seller = world.seller();
    let shoppers = world.shoppers(1_000).await;

    let outcomes = rush(&shoppers, &item).await;
    assert_eq!(count(&outcomes), BTreeMap::from([(Outcome::Held, 100), (Outcome::SoldOut, 900)]));
    seller.expect_counters(&item, Counters::held(100, 100)).await;
}

/// A shopper of the crowd that keeps to what it is told. Every response, and the order if there is one.
async fn buy_politely(client: Client, item: &Item) -> (Vec<Response>, bool) {
    let opened = client.post("/api/session").send().await;
    let mut responses = vec![opened];
    if responses[0].status != 201 {
        return (responses, false);
    }
    let shopper = Shopper::from_session(&client, &responses[0].json());
    let challenge = shopper.ask_challenge(item).await;
    let question = (challenge.status == 201).then(|| challenge.json());
    responses.push(challenge);
    let Some(question) = question else { return (responses, false) };
    let token = question["challenge"].as_str().unwrap();
    let answer = solve_proof_of_work(token, question["difficulty"].as_u64().unwrap());
    let body = json!({ "challenge": token, "answer": answer, "quantity": 1 });
    let admitted = shopper.ask_reservation(item, &body).await;
    let mut reservation = (admitted.status == 202).then(|| admitted.json());
    responses.push(admitted);
    while let Some(waiting) = reservation.take_if(|reservation| reservation["state"] == "queued") {
        tokio::time::sleep(Duration::from_millis(waiting["poll_after_ms"].as_u64().unwrap())).await;
        let path = format!("/api/reservations/{}", waiting["id"].as_str().unwrap());
        let polled = shopper.client().get(&path).send().await;
        reservation = (polled.status == 200).then(|| polled.json());
        responses.push(polled);
    }
    let Some(held) = reservation.filter(|reservation| reservation["state"] == "held") else {
        return (responses, false);
    };
    responses.push(shopper.checkout_request(&held).send().await);
    let is_ordered = responses.last().is_some_and(|response| response.status == 201);
    (responses, is_ordered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_keeps_the_pace_it_is_told_meets_none_of_the_shipped_limits() {
    const STOCK: usize = 60;
    const SHOPPERS: usize = 800;
    /// As in an office behind one address.
    const AT_ONE_ADDRESS: usize = 40;
    let world = World::builder().unchecked().set("rate_limits", "on").set("trust_proxy", "on").start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(STOCK as i64)).await;

    let outcomes = crowd(SHOPPERS, AT_ONCE, |number| {
        let client = world.client().from_address(&format!("203.0.113.{}", number / AT_ONE_ADDRESS));
        let item = &item;
        async move { buy_politely(client, item).await }
    })
    .await;
    for response in outcomes.iter().flat_map(|(responses, _)| responses) {
        let is_sold_out = response.status == 410 && response.slug().as_deref() == Some("sold-out");
        assert!(response.status < 300 || is_sold_out, "an honest shopper got {response}");
    }
    assert_eq!(outcomes.iter().filter(|(_, is_ordered)| *is_ordered).count(), STOCK);
    seller.expect_counters(&item, Counters::ordered(STOCK as i64, STOCK as i64)).await;

    // The limits are on: somebody in a hurry meets them.
    let hasty = Shopper::arrive(&world.client().from_address("198.51.100.1")).await;
    let other = seller.publish(&ItemTerms::of(1)).await;
    let mut statuses = BTreeSet::new();
    for _ in 0..40 {
        statuses.insert(hasty.ask_challenge(&other).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shoppers_are_served_in_the_order_in_which_they_asked() {
    let (world, item) = World::builder().unchecked().selling(20).await;
    let shoppers = world.shoppers(40).await;

    // One after the other, so that the order of admission is known.
    let mut reservations = Vec::new();
    for shopper in &shoppers {
        let response = shopper.reserve(&item).await;
        match response.status {
            202 => reservations.push(Some(response.json())),
            _ => {
                response.expect_problem(410, "sold-out");
                reservations.push(None);
            }
        }
    }
    for (number, (shopper, reservation)) in shoppers.iter().zip(&reservations).enumerate() {
        let state = match reservation {
            Some(reservation) => shopper.result(reservation).await["state"].clone(),
            None => Value::from("sold_out"),
        };
        assert_eq!(state, if number < 20 { "held" } else { "sold_out" }, "shopper {number}");
    }
}
