use std::time::Duration;

use serde_json::json;
use stampede_tests::{ItemTerms, World, eventually, solve_proof_of_work};

#[tokio::test]
async fn a_solved_challenge_buys_one_reservation() {
    let world = World::start().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(challenge["kind"], "pow");
    let token = challenge["challenge"].as_str().unwrap();
    let answer = solve_proof_of_work(token, challenge["difficulty"].as_u64().unwrap());
    let body = json!({ "challenge": token, "answer": answer, "quantity": 1 });
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    assert_eq!(reservation["state"], "queued");
}

#[tokio::test]
async fn a_wrong_answer_burns_the_challenge() {
    let world = World::builder().set("captcha_difficulty", 12).start().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;

    let mut body = shopper.solved_challenge(&item).await.unwrap();
    let right = body["answer"].clone();
    body["quantity"] = json!(1);
    body["answer"] = json!("not-a-number");
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    body["answer"] = right;
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");

    // A new one is a new chance.
    shopper.hold(&item).await;
}

#[tokio::test]
async fn a_challenge_is_used_once_even_by_a_shopper_who_may_buy_again() {
    let world = World::start().await;
    let item = world.seller().publish(&ItemTerms::of(5).limited_to(3)).await;
    let shopper = world.shopper().await;

    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    let held = shopper.result(&reservation).await;
    shopper.give_back(&held).await.expect(204);

    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

#[tokio::test]
async fn a_challenge_of_another_shopper_is_worth_nothing() {
    let world = World::start().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let (solver, buyer) = (world.shopper().await, world.shopper().await);

    let mut body = solver.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    buyer.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    // The theft did not cost its owner anything.
    solver.ask_reservation(&item, &body).await.expect(202);
}

#[tokio::test]
async fn a_challenge_of_another_item_is_worth_nothing() {
    let world = World::start().await;
    let seller = world.seller();
    let (item, other) = (seller.publish(&ItemTerms::of(5)).await, seller.publish(&ItemTerms::of(5)).await);
    let shopper = world.shopper().await;

    let mut body = shopper.solved_challenge(&other).await.unwrap();
    body["quantity"] = json!(1);
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

#[tokio::test]
async fn a_forged_or_mutilated_challenge_is_refused() {
    let world = World::start().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;
    let solved = shopper.solved_challenge(&item).await.unwrap();
    let token = solved["challenge"].as_str().unwrap().to_owned();

    let mut flipped = token.clone().into_bytes();
    let last = flipped.len() - 1;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let forgeries = [
        String::from_utf8(flipped).unwrap(),
        token[..token.len() / 2].to_owned(),
        format!("{token}{token}"),
        "x".to_owned(),
        "..".to_owned(),
    ];
    for forged in forgeries {
        let body = json!({ "challenge": forged, "answer": solved["answer"], "quantity": 1 });
        let answer = shopper.ask_reservation(&item, &body).await;
        assert_eq!(answer.status, 422, "{answer}");
        assert!(matches!(answer.slug().as_deref(), Some("challenge-failed" | "invalid")), "{answer}");
    }
    assert_eq!(world.seller().counters(&item).await.available, 5);
}

#[tokio::test]
async fn a_reservation_without_a_challenge_is_refused_unless_challenges_are_off() {
    let guarded = World::start().await;
    let item = guarded.seller().publish(&ItemTerms::of(5)).await;
    let shopper = guarded.shopper().await;
    let answer = shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await;
    assert_eq!(answer.status, 422, "{answer}");

    let open = World::builder().set("captcha_kind", "off").start().await;
    let item = open.seller().publish(&ItemTerms::of(5)).await;
    let shopper = open.shopper().await;
    shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.expect(202);
}

#[tokio::test]
async fn challenges_exist_only_while_the_item_is_open() {
    let world = World::start().await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    let upcoming = seller.publish(&ItemTerms::of(5).between(600.0, 3600.0)).await;
    shopper.ask_challenge(&upcoming).await.expect_problem(403, "not-started");

    let over = seller.publish(&ItemTerms::of(5).between(-600.0, 0.2)).await;
    eventually("the item has ended", Duration::from_secs(10), async || {
        (shopper.ask_challenge(&over).await.status == 410).then_some(())
    })
    .await;
    shopper.ask_challenge(&over).await.expect_problem(410, "ended");

    let paused = seller.publish(&ItemTerms::of(5)).await;
    seller.order(&paused, "pause").await.expect(200);
    let refusal = eventually("the pause is seen", Duration::from_secs(5), async || {
        let answer = shopper.ask_challenge(&paused).await;
        (answer.status != 201).then_some(answer)
    })
    .await;
    refusal.expect_problem(503, "paused");
}

#[tokio::test]
async fn a_picture_challenge_shows_a_picture_and_refuses_a_guess() {
    let world = World::builder().set("captcha_kind", "image").set("captcha_difficulty", 0).start().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(challenge["kind"], "image");
    let picture = challenge["image"].as_str().expect("the picture as a data URL");
    assert!(picture.starts_with("data:image/"), "{picture:.60}");
    let body = json!({ "challenge": challenge["challenge"], "answer": "????", "quantity": 1 });
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}
