use std::time::Duration;

use serde_json::json;
use stampede_tests::{ItemTerms, World, crowd, eventually, read_picture, solve_proof_of_work, zero_bits};

#[tokio::test]
async fn a_solved_challenge_buys_one_reservation() {
    let (world, item) = World::selling(5).await;
    let shopper = world.shopper().await;

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(challenge["kind"], "pow");
    let token = challenge["challenge"].as_str().unwrap();
    let solution = solve_proof_of_work(token, challenge["difficulty"].as_u64().unwrap());
    let body = json!({ "challenge": token, "answer": solution, "quantity": 1 });
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    assert_eq!(reservation["state"], "queued");
}

#[tokio::test]
async fn a_shop_that_chooses_no_challenge_asks_for_a_proof_of_work() {
    let (world, item) = World::builder().unset("captcha_kind").unset("captcha_difficulty").selling(5).await;
    let shopper = world.shopper().await;
    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!((&challenge["kind"], &challenge["difficulty"]), (&json!("pow"), &json!(18)));
}

#[tokio::test]
async fn a_wrong_solution_burns_the_challenge() {
    let (world, item) = World::builder().set("captcha_difficulty", 12).selling(5).await;
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
    let (world, item) = World::selling(ItemTerms::of(5).limited_to(3)).await;
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
    let (world, item) = World::selling(5).await;
    let (solver, buyer) = (world.shopper().await, world.shopper().await);

    let mut body = solver.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    buyer.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    // The theft cost the owner nothing.
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
    let (world, item) = World::selling(5).await;
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
        let response = shopper.ask_reservation(&item, &body).await;
        assert_eq!(response.status, 422, "{response}");
        assert!(matches!(response.slug().as_deref(), Some("challenge-failed" | "invalid")), "{response}");
    }
    assert_eq!(world.seller().counters(&item).await.available, 5);
}

#[tokio::test]
async fn a_reservation_without_a_challenge_is_refused_unless_challenges_are_off() {
    let (guarded, item) = World::selling(5).await;
    let shopper = guarded.shopper().await;
    let response = shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await;
    assert_eq!(response.status, 422, "{response}");

    let (open, item) = World::builder().set("captcha_kind", "off").selling(5).await;
    let shopper = open.shopper().await;
    shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.expect(202);
}

#[tokio::test]
async fn challenges_exist_only_while_the_item_is_open() {
    let world = World::start().await;
    let seller = world.seller();
    let shopper = world.shopper().await;

    for terms in [ItemTerms::of(5), ItemTerms::of(5).instant()] {
        let upcoming = seller.publish(&terms.between(600.0, 3600.0)).await;
        let refusal = shopper.ask_challenge(&upcoming).await;
        refusal.expect_problem(403, "not-started");
        // The refusal contains nothing that could be solved ahead.
        let members: Vec<String> = refusal.json().as_object().unwrap().keys().cloned().collect();
        for member in ["challenge", "image", "difficulty", "cdata"] {
            assert!(!members.iter().any(|name| name == member), "{refusal}");
        }
    }

    let over = seller.publish(&ItemTerms::of(5).between(-600.0, 2.0)).await;
    eventually("the item has ended", Duration::from_secs(10), async || {
        (shopper.ask_challenge(&over).await.status == 410).then_some(())
    })
    .await;
    shopper.ask_challenge(&over).await.expect_problem(410, "ended");

    let paused = seller.publish(&ItemTerms::of(5)).await;
    seller.order(&paused, "pause").await.expect(200);
    let refusal = eventually("the pause is seen", Duration::from_secs(5), async || {
        let response = shopper.ask_challenge(&paused).await;
        (response.status != 201).then_some(response)
    })
    .await;
    refusal.expect_problem(503, "paused");
}

#[tokio::test]
async fn a_picture_challenge_shows_a_picture_and_refuses_a_guess() {
    let (world, item) =
        World::builder().set("captcha_kind", "image").set("captcha_difficulty", 0).selling(5).await;
    let shopper = world.shopper().await;

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(challenge["kind"], "image");
    let picture = challenge["image"].as_str().expect("the picture as a data URL");
    assert!(picture.starts_with("data:image/"), "{picture:.60}");
    let body = json!({ "challenge": challenge["challenge"], "answer": "????", "quantity": 1 });
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

#[tokio::test]
async fn a_picture_read_rightly_is_worth_one_reservation_of_its_shopper() {
    let (world, item) = World::builder()
        .set("captcha_kind", "image")
        .set("captcha_difficulty", 4)
        .selling(ItemTerms::of(5).limited_to(2))
        .await;
    let (shopper, other) = (world.shopper().await, world.shopper().await);

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    let token = challenge["challenge"].as_str().unwrap();
    let solution = read_picture(world.session_secret(), token);
    let body = json!({ "challenge": token, "answer": solution.to_lowercase(), "quantity": 1 });
    other.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    let held = shopper.result(&reservation).await;
    shopper.give_back(&held).await.expect(204);
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

#[tokio::test]
async fn a_challenge_from_before_a_pause_is_good_after_it_and_not_before() {
    let (world, item) = World::selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    seller.order(&item, "pause").await.expect(200);
    shopper.ask_reservation(&item, &body).await.expect_problem(503, "paused");
    seller.order(&item, "resume").await.expect(200);
    shopper.ask_reservation(&item, &body).await.expect(202);

    let late = world.shopper().await;
    let mut body = late.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    seller.order(&item, "close").await.expect(200);
    late.ask_reservation(&item, &body).await.expect_problem(410, "ended");
}

#[tokio::test]
async fn a_proof_of_work_is_harder_the_more_people_wait() {
    // Nobody drains the queue.
    let (world, item) = World::builder().set("captcha_difficulty", 6).without_doorbells().selling(2).await;
    let shopper = world.shopper().await;
    let ask = async || shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(ask().await["difficulty"], 6);
    crowd(8, 8, async |_| {
        world.shopper().await.reserve(&item).await.expect(202);
    })
    .await;
    // Each instance learns of the crowd at its own time.
    let challenge = eventually("four wait for each unit", Duration::from_secs(10), async || {
        let challenge = ask().await;
        (challenge["difficulty"] == 8).then_some(challenge)
    })
    .await;
    // The token says how hard it is: a solution that was enough before is not any more.
    let token = challenge["challenge"].as_str().unwrap();
    let too_easy =
        (0u64..).map(|n| n.to_string()).find(|solution| (6..8).contains(&zero_bits(token, solution)));
    let body = json!({ "challenge": token, "answer": too_easy, "quantity": 1 });
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

#[tokio::test]
async fn a_proof_of_work_is_harder_for_an_address_that_fails_again_and_again() {
    let (world, item) = World::builder()
        .set("captcha_difficulty", 6)
        .set("rate_limits", "on")
        .set("tries_per_ten_seconds", 1_000)
        .set("address_tries_per_ten_seconds", 40)
        .selling(5)
        .await;
    let (shopper, neighbour) = (world.shopper().await, world.shopper().await);
    let first = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(first["difficulty"], 6);
    // Ten tokens come back in 2.5 s, and each failure costs three: some tries use up half of the allowance.
    eventually("it is harder, for the neighbour too", Duration::from_secs(30), async || {
        if let Some(challenge) = shopper.ask_challenge(&item).await.json()["challenge"].as_str() {
            let body = json!({ "challenge": challenge, "answer": "x", "quantity": 1 });
            shopper.ask_reservation(&item, &body).await;
        }
        let challenge = neighbour.ask_challenge(&item).await;
        (challenge.status == 201 && challenge.json()["difficulty"].as_u64() > Some(6)).then_some(())
    })
    .await;
}
