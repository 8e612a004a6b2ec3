use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{
    Item, ItemTerms, Outsider, Question, Reply, Response, Shopper, World, WorldBuilder, eventually,
};

const SECRET: &str = "widget-secret-of-a-test-world";
const TOKEN: &str = "hook-token-of-a-test-world";

/// The widget service's verdict on a solution: it accepts a solution that names the challenge that it is for.
fn judge(question: &Question) -> Reply {
    let response = question.body["response"].as_str().unwrap_or_default();
    let verdict = match response.strip_prefix("good:") {
        Some(cdata) => json!({
            "success": true, "error-codes": [], "challenge_ts": "2026-11-21T10:00:00.000Z",
            "hostname": "127.0.0.1", "action": "reserve", "cdata": cdata,
        }),
        None => json!({ "success": false, "error-codes": ["invalid-input-response"] }),
    };
    Reply::Json(200, verdict)
}

fn with_widget(widget: &Outsider) -> WorldBuilder {
    World::builder()
        .set("captcha_kind", "turnstile")
        .set("turnstile_site_key", "1x00000000000000000000AA")
        .set("turnstile_secret", SECRET)
        .set("turnstile_script_url", widget.url("/api.js"))
        .set("turnstile_url", widget.url("/siteverify"))
        .set("turnstile_origin", widget.origin())
        .set("turnstile_timeout_ms", 400)
}

/// A challenge, and the body of a reservation that passes it.
async fn passed(shopper: &Shopper, item: &Item) -> Value {
    let challenge = shopper.ask_challenge(item).await.expect(201);
    let solution = format!("good:{}", challenge["cdata"].as_str().unwrap());
    json!({ "challenge": challenge["challenge"], "answer": solution, "quantity": 1 })
}

/// Asks until the response is not 503. After a failure the shop leaves a service alone for a second.
async fn insist(shopper: &Shopper, item: &Item, body: &Value) -> Response {
    shopper.reservation_request(item, body).insist().await
}

#[tokio::test]
async fn a_widget_service_decides_and_is_asked_once_for_a_reservation() {
    let widget = Outsider::start(judge).await;
    let (world, item) = with_widget(&widget).selling(ItemTerms::of(5).limited_to(2)).await;
    let shopper = world.shopper().await;

    let challenge = shopper.ask_challenge(&item).await.expect(201);
    assert_eq!(challenge["kind"], "turnstile");
    assert_eq!(challenge["site_key"], "1x00000000000000000000AA");
    assert_eq!(challenge["script_url"], widget.url("/api.js"));
    assert_eq!(challenge["action"], "reserve");
    assert!(!challenge.to_string().contains(SECRET));

    let body = passed(&shopper, &item).await;
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    let [question] = &widget.questions()[..] else { panic!("{:?}", widget.questions()) };
    assert_eq!(question.path, "/siteverify");
    assert_eq!(question.body["secret"], SECRET);
    assert_eq!(question.body["response"], body["answer"]);
    assert_eq!(question.body["remoteip"], "127.0.0.1");
    assert!(question.body["idempotency_key"].as_str().is_some_and(|key| key.len() == 36), "{question:?}");

    // Asking again shows the reservation, and the shop does not ask the service about a used challenge.
    shopper.ask_reservation(&item, &body).await.expect(200);
    let held = shopper.result(&reservation).await;
    shopper.give_back(&held).await.expect(204);
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    assert_eq!(widget.questions().len(), 1);
}

#[tokio::test]
async fn a_solution_that_the_widget_service_refuses_burns_the_challenge() {
    let widget = Outsider::start(judge).await;
    let (world, item) = with_widget(&widget).selling(5).await;
    let (shopper, other) = (world.shopper().await, world.shopper().await);

    let mut body = passed(&shopper, &item).await;
    let good = body["answer"].clone();
    body["answer"] = json!("forged");
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    body["answer"] = good.clone();
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    assert_eq!(widget.questions().len(), 1, "a burnt challenge is worth no question");

    // A solution that somebody gave for another challenge.
    let mut traded = passed(&other, &item).await;
    traded["answer"] = good;
    other.ask_reservation(&item, &traded).await.expect_problem(422, "challenge-failed");
    // The shop does not ask about a text that no widget produces.
    let asked = widget.questions().len();
    for solution in [String::new(), "x".repeat(3_000)] {
        let mut body = passed(&other, &item).await;
        body["answer"] = json!(solution);
        other.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    }
    assert_eq!(widget.questions().len(), asked);
    world.seller().expect_counters(&item, stampede_tests::Counters::untouched(5)).await;
}

#[tokio::test]
async fn a_wish_without_a_chance_costs_no_question() {
    let widget = Outsider::start(judge).await;
    let (world, item) = with_widget(&widget).selling(1).await;
    let (shopper, late) = (world.shopper().await, world.shopper().await);
    let too_late = passed(&late, &item).await;
    let body = passed(&shopper, &item).await;
    let reservation = shopper.ask_reservation(&item, &body).await.expect(202);
    shopper.result(&reservation).await;
    late.ask_reservation(&item, &too_late).await.expect_problem(410, "sold-out");
    assert_eq!(widget.questions().len(), 1);
}

#[tokio::test]
async fn a_challenge_stays_good_while_the_widget_service_is_out_of_order() {
    let widget = Outsider::start(judge).await;
    let (world, item) = with_widget(&widget).selling(9).await;
    let failures: [fn(&Question) -> Reply; 6] = [
        |_| Reply::Never,
        |_| Reply::Text(200, "<html>not JSON"),
        |_| Reply::Json(200, json!([])),
        |_| Reply::Json(200, json!({ "success": "yes" })),
        |_| Reply::Text(500, "on fire"),
        // This is the shop's fault and not the shopper's.
        |_| Reply::Json(200, json!({ "success": false, "error-codes": ["invalid-input-secret"] })),
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        let shopper = world.shopper().await;
        let body = passed(&shopper, &item).await;
        widget.change(failure);
        let before = widget.questions().len();
        // After the failure before this one, the shop leaves the service alone for a moment.
        eventually("the service is asked and fails", Duration::from_secs(10), async || {
            shopper.ask_reservation(&item, &body).await.expect_problem(503, "unavailable");
            (widget.questions().len() > before).then_some(())
        })
        .await;
        widget.change(judge);
        let response = insist(&shopper, &item, &body).await;
        assert_eq!(response.status, 202, "failure {number}: {response}");
        // The service accepts each solution once, unless the shop says that it asks the same question again.
        let questions = widget.questions();
        let keys: Vec<&Value> =
            questions[before..].iter().map(|asked| &asked.body["idempotency_key"]).collect();
        assert!(keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
    // The service is dead: nobody listens.
    let shopper = world.shopper().await;
    let body = passed(&shopper, &item).await;
    drop(widget);
    shopper.ask_reservation(&item, &body).await.expect_problem(503, "unavailable");
    assert!(!world.host.log().contains(SECRET), "the secret is in the log");
}

#[tokio::test]
async fn pages_may_load_the_widget_only_where_one_is_set() {
    let widget = Outsider::start(judge).await;
    let world = with_widget(&widget).start().await;
    let html = world.client().get("/").send().await;
    let policy = html.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("script-src 'self' {};", widget.origin())), "{policy}");
    assert!(policy.contains(&format!("frame-src {};", widget.origin())), "{policy}");
    let plain = World::start().await;
    let html = plain.client().get("/").send().await;
    let policy = html.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';") && !policy.contains("frame-src"), "{policy}");
}

fn with_hook(hook: &Outsider) -> WorldBuilder {
    World::builder()
        .set("risk_url", hook.url("/risk"))
        .set("risk_origin", hook.origin())
        .set("risk_token", TOKEN)
        .set("risk_timeout_ms", 300)
}

fn allow(_: &Question) -> Reply {
    Reply::Json(200, json!({ "decision": "allow", "score": 0.1 }))
}

fn refuse(_: &Question) -> Reply {
    Reply::Json(200, json!({ "decision": "refuse", "reason": "seen too often" }))
}

async fn solved(shopper: &Shopper, item: &Item) -> Value {
    let mut body = shopper.solved_challenge(item).await.unwrap();
    body["quantity"] = json!(1);
    body
}

#[tokio::test]
async fn the_risk_hook_is_told_who_wants_what_and_may_refuse() {
    let hook = Outsider::start(allow).await;
    let (world, item) = with_hook(&hook).selling(5).await;
    let (shopper, other) = (world.shopper().await, world.shopper().await);

    let body = solved(&shopper, &item).await;
    let request = shopper.reservation_request(&item, &body).header("user-agent", "Test/1.0");
    let response = request.header("x-request-id", "risk-question-1").send().await;
    response.expect(202);
    let [question] = &hook.questions()[..] else { panic!("{:?}", hook.questions()) };
    let expected = json!({
        "user_id": shopper.user_id(), "item_id": item.id, "quantity": 1, "address": "127.0.0.1",
        "user_agent": "Test/1.0", "request_id": "risk-question-1",
    });
    assert_eq!((question.path.as_str(), &question.body), ("/risk", &expected));
    assert_eq!(question.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(question.headers["x-request-id"], "risk-question-1");

    // Asking again shows the reservation; a wrong solution makes no wish.
    shopper.ask_reservation(&item, &body).await.expect(200);
    let mut wrong = solved(&other, &item).await;
    wrong["answer"] = json!("nonsense");
    other.ask_reservation(&item, &wrong).await.expect_problem(422, "challenge-failed");
    assert_eq!(hook.questions().len(), 1);

    hook.change(refuse);
    let body = solved(&other, &item).await;
    other.ask_reservation(&item, &body).await.expect_problem(403, "blocked");
    // The refusal spent the challenge: one solution buys one question to the hook.
    hook.change(allow);
    other.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
    assert_eq!(hook.questions().len(), 2);
    other.hold(&item).await;
    assert!(!world.host.log().contains(TOKEN), "the hook's token is in the log");
}

#[tokio::test]
async fn without_challenges_the_risk_hook_still_decides() {
    let hook = Outsider::start(refuse).await;
    let (world, item) = with_hook(&hook).set("captcha_kind", "off").selling(ItemTerms::of(5).instant()).await;
    let shopper = world.shopper().await;
    shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.expect_problem(403, "blocked");
    world.seller().expect_counters(&item, stampede_tests::Counters::untouched(5)).await;
    hook.change(allow);
    shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.expect(201);
}

#[tokio::test]
async fn when_the_risk_hook_fails_the_setting_decides() {
    let failures: [fn(&Question) -> Reply; 4] = [
        |_| Reply::Never,
        |_| Reply::Text(200, "allow"),
        |_| Reply::Json(200, json!({ "decision": "perhaps" })),
        |_| Reply::Json(500, json!({ "decision": "allow" })),
    ];
    for on_failure in ["allow", "refuse"] {
        let hook = Outsider::start(allow).await;
        let world = with_hook(&hook).set("risk_on_failure", on_failure).start().await;
        let item = world.seller().publish(&ItemTerms::of(9)).await;
        for failure in failures {
            hook.change(failure);
            let shopper = world.shopper().await;
            let body = solved(&shopper, &item).await;
            let response = shopper.ask_reservation(&item, &body).await;
            if on_failure == "allow" {
                response.expect(202);
            } else {
                response.expect_problem(503, "unavailable");
                // The failure spent nothing.
                hook.change(allow);
                assert_eq!(insist(&shopper, &item, &body).await.status, 202);
            }
        }
        let shopper = world.shopper().await;
        let body = solved(&shopper, &item).await;
        drop(hook);
        let response = shopper.ask_reservation(&item, &body).await;
        assert_eq!(response.status, if on_failure == "allow" { 202 } else { 503 }, "{response}");
    }
}

#[tokio::test]
async fn a_dead_risk_hook_is_not_asked_by_a_whole_crowd() {
    let hook = Outsider::start(|_| Reply::Never).await;
    let (world, item) =
        with_hook(&hook).set("captcha_kind", "off").set("risk_timeout_ms", 200).selling(100).await;
    // One after the other, so that they meet the same instance or its successors.
    for _ in 0..20 {
        let shopper = world.shopper().await;
        shopper.ask_reservation(&item, &json!({ "quantity": 1 })).await.expect(202);
    }
    let asked = hook.questions().len();
    assert!((3..20).contains(&asked), "a dead hook was asked {asked} times for 20 shoppers");
}
