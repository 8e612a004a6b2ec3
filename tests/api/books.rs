use serde_json::json;
use stampede_tests::{Counters, ItemTerms, World, eventually};

use crate::provider::{Provider, pay};

#[tokio::test]
async fn money_of_a_second_payment_is_shown_to_the_operator_until_it_went_back() {
    let world = World::start().await;
    let (seller, provider) = (world.seller(), Provider::of(&world));
    let item = seller.publish(&ItemTerms::of(3)).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let order = shopper.checkout(&held).await.expect(201);
    let first = pay(&shopper, &order).await;
    provider.tell(&first, "payment.failed", 39900).send().await.expect(200);
    let second = pay(&shopper, &order).await;
    for (payment, changed) in [(&second, true), (&first, true), (&first, false), (&second, false)] {
        let response = provider.tell(payment, "payment.succeeded", 39900).send().await.expect(200);
        assert_eq!((&response["state"], &response["changed"]), (&json!("paid"), &json!(changed)));
    }
    seller.expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2)).await;

    let operator = seller.client();
    let due = eventually("the money is shown", std::time::Duration::from_secs(10), async || {
        let list = operator.get("/api/admin/refunds").send().await.expect(200);
        (list["total"] == 1).then_some(list)
    })
    .await;
    let refund = &due["refunds"][0];
    assert_eq!((&refund["payment_id"], &refund["order_id"]), (&first["id"], &order["id"]));
    assert_eq!(refund["amount"], json!({ "amount": 39900, "currency": "CNY" }));
    assert_eq!(refund["order_state"], "paid");
    let of = |id: &serde_json::Value| format!("/api/admin/payments/{}/refund", id.as_str().unwrap());
    // The payment that paid for the order stays.
    operator.post(&of(&second["id"])).send().await.expect_problem(409, "conflict");
    for _ in 0..2 {
        let response = operator.post(&of(&first["id"])).send().await.expect(200);
        assert_eq!(response["state"], "paid", "the order is what it was");
    }
    eventually("nothing is due any more", std::time::Duration::from_secs(10), async || {
        (operator.get("/api/admin/refunds").send().await.expect(200)["total"] == 0).then_some(())
    })
    .await;
    for unknown in ["p-x", "p-iabcdefghij-0-abcdefghijkl-1"] {
        operator.post(&of(&json!(unknown))).send().await.expect_problem(404, "not-found");
    }
    world.client().get("/api/admin/refunds").send().await.expect_problem(401, "unauthorized");
    seller.audit(&item).await;
}

#[tokio::test]
async fn events_that_can_not_be_recorded_are_shown_and_settled_by_the_operator() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let operator = seller.client();
    seller.audit(&item).await;
    let outbox = format!("{{{}:0}}:outbox", item.id);
    let lane = format!("{{{}:0}}:lane", item.id);
    // This entry is no event, but it has a number like all entries.
    let _: i64 = world.redis.command(&["HINCRBY", &lane, "outbox_seq", "1"]).await;
    let _: String = world.redis.command(&["XADD", &outbox, "*", "event", "no event"]).await;
    seller.tick().await;
    let list = operator.get("/api/admin/set-aside?page_size=5").send().await.expect(200);
    assert_eq!(list["total"], 1);
    let aside = &list["events"][0];
    assert_eq!((&aside["item_id"], &aside["event"]), (&json!(item.id), &json!("no event")));
    assert!(!aside["error"].as_str().unwrap().is_empty());

    let retried = operator.post("/api/admin/set-aside/retry").send().await.expect(200);
    assert_eq!((&retried["applied"], &retried["refused"]), (&json!(0), &json!(1)));
    let one = json!({ "item_id": item.id, "lane": 0, "stream_id": aside["stream_id"] });
    let dismiss = || operator.post("/api/admin/set-aside/dismiss").json(&one).send();
    dismiss().await.expect(204);
    dismiss().await.expect_problem(404, "not-found");

    // No event will ever have this number. The events behind it wait until the operator gives the number up.
    let seq: i64 = world.redis.command(&["HINCRBY", &lane, "outbox_seq", "1"]).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    shopper.checkout(&held).await.expect(201);
    let far = json!({ "item_id": item.id, "lane": 0, "up_to": seq + 100_000 });
    let pass = |body: serde_json::Value| operator.post("/api/admin/set-aside/pass-over").json(&body).send();
    pass(far).await.expect_problem(422, "invalid");
    let response = pass(json!({ "item_id": item.id, "lane": 0, "up_to": seq })).await.expect(200);
    assert_eq!(response["passed_over"], 1);
    seller.tick().await;
    let list = operator.get("/api/admin/set-aside").send().await.expect(200);
    assert_eq!(list["events"][0]["stream_id"], format!("missing-{seq}"));
    let one = json!({ "item_id": item.id, "lane": 0, "stream_id": format!("missing-{seq}") });
    operator.post("/api/admin/set-aside/dismiss").json(&one).send().await.expect(204);
    seller.audit(&item).await;
    world.client().get("/api/admin/set-aside").send().await.expect_problem(401, "unauthorized");
}
