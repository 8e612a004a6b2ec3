use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stampede_tests::{Counters, ItemTerms, World, crowd};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_copies_of_one_request_are_one_reservation() {
    let (world, item) = World::builder().unchecked().selling(ItemTerms::of(5).limited_to(3)).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);

    let responses = crowd(1_000, 200, |_| shopper.ask_reservation(&item, &body)).await;
    let mut statuses = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for response in &responses {
        *statuses.entry(response.status).or_insert(0) += 1;
        ids.insert(response.json()["id"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned());
    }
    assert_eq!(statuses, BTreeMap::from([(202, 1), (200, 999)]));
    assert_eq!(ids.len(), 1);
    assert_eq!(shopper.result(&responses[0].json()).await["state"], "held");
    seller.expect_counters(&item, Counters::held(5, 1)).await;
    assert_eq!(burnt(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_guesses_at_one_challenge_are_one_guess() {
    let (world, item) = World::builder().set("captcha_difficulty", 16).unchecked().selling(5).await;
    let shopper = world.shopper().await;
    let solved = shopper.solved_challenge(&item).await.unwrap();
    let token = &solved["challenge"];

    let responses = crowd(1_000, 200, |number| {
        let body = json!({ "challenge": token, "answer": format!("{number}"), "quantity": 1 });
        let shopper = shopper.clone();
        let item = item.clone();
        async move { shopper.ask_reservation(&item, &body).await }
    })
    .await;
    let right = responses.iter().filter(|response| response.status == 202).count();
    for response in &responses {
        assert!(matches!(response.status, 422 | 202 | 200), "{response}");
    }
    // One in 65 of such runs guesses right by chance, with its first guess: that is what the difficulty is for.
    assert!(right <= 1, "{right} guesses were admitted");
    assert_eq!(burnt(&world).await, 1);
    // The right solution comes too late now, unless the first guess was right.
    let late = json!({ "challenge": token, "answer": solved["answer"], "quantity": 1 });
    let late = shopper.ask_reservation(&item, &late).await;
    assert_eq!(late.status, if right == 1 { 200 } else { 422 }, "{late}");
}

#[tokio::test]
async fn nobody_trades_challenges() {
    let world = World::start().await;
    let seller = world.seller();
    let items = [seller.publish(&ItemTerms::of(9)).await, seller.publish(&ItemTerms::of(9)).await];
    let shoppers = [world.shopper().await, world.shopper().await, world.shopper().await];
    let mut solved = Vec::new();
    for (who, shopper) in shoppers.iter().enumerate() {
        for (what, item) in items.iter().enumerate() {
            let mut body = shopper.solved_challenge(item).await.unwrap();
            body["quantity"] = json!(1);
            solved.push((who, what, body));
        }
    }
    for (owner, meant, body) in &solved {
        for (who, shopper) in shoppers.iter().enumerate() {
            for (what, item) in items.iter().enumerate() {
                if (who, what) != (*owner, *meant) {
                    let response = shopper.ask_reservation(item, body).await;
                    response.expect_problem(422, "challenge-failed");
                }
            }
        }
    }
    // The attempts cost the owners nothing.
    assert_eq!(burnt(&world).await, 0);
    for (owner, meant, body) in &solved {
        shoppers[*owner].ask_reservation(&items[*meant], body).await.expect(202);
    }
}

#[tokio::test]
async fn nothing_is_solved_before_the_start() {
    let world = World::start().await;
    let seller = world.seller();
    let (now, soon) = (
        seller.publish(&ItemTerms::of(5)).await,
        seller.publish(&ItemTerms::of(5).between(3.0, 600.0)).await,
    );
    let shopper = world.shopper().await;
    shopper.ask_challenge(&soon).await.expect_problem(403, "not-started");
    // A solution for an open item serves no other item, now or at its start.
    let mut body = shopper.solved_challenge(&now).await.unwrap();
    body["quantity"] = json!(1);
    let early = shopper.ask_reservation(&soon, &body).await;
    assert!(matches!(early.slug().as_deref(), Some("challenge-failed" | "not-started")), "{early}");
    let open = stampede_tests::eventually("the start", std::time::Duration::from_secs(20), async || {
        let response = shopper.ask_challenge(&soon).await;
        (response.status == 201).then_some(())
    });
    open.await;
    shopper.ask_reservation(&soon, &body).await.expect_problem(422, "challenge-failed");
    seller.expect_counters(&soon, Counters::untouched(5)).await;
}

/// How many challenges are remembered as used.
async fn burnt(world: &World) -> i64 {
    let keys: Vec<String> = world.redis.command(&["KEYS", "*:challenges:*"]).await;
    let mut count = 0;
    for key in keys {
        count += world.redis.command::<i64>(&["SCARD", &key]).await;
    }
    count
}
