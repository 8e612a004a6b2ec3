use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{Counters, ItemTerms, World, eventually, timestamp_in};

#[tokio::test]
async fn no_call_of_the_operator_works_without_the_token() {
    let (world, item) = World::selling(5).await;
    let id = &item.id;
    let calls = [
        ("GET", "/api/admin/sales".to_owned()),
        ("POST", "/api/admin/sales".to_owned()),
        ("GET", format!("/api/admin/sales/{}", item.sale_id)),
        ("PUT", format!("/api/admin/sales/{}", item.sale_id)),
        ("POST", format!("/api/admin/sales/{}/items", item.sale_id)),
        ("GET", format!("/api/admin/items/{id}")),
        ("PUT", format!("/api/admin/items/{id}")),
        ("POST", format!("/api/admin/items/{id}/publish")),
        ("POST", format!("/api/admin/items/{id}/pause")),
        ("POST", format!("/api/admin/items/{id}/resume")),
        ("POST", format!("/api/admin/items/{id}/close")),
        ("POST", format!("/api/admin/items/{id}/stock")),
        ("GET", format!("/api/admin/items/{id}/stats")),
        ("POST", format!("/api/admin/items/{id}/audit")),
        ("POST", "/internal/tick".to_owned()),
    ];
    let shopper = world.shopper().await;
    let near_miss = &world.operator_token()[..world.operator_token().len() - 1];
    let strangers = [world.client(), shopper.client().clone(), world.client().bearing(near_miss)];
    for (method, path) in calls {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        for stranger in &strangers {
            let response = stranger.request(method.clone(), &path).json(&json!({})).send().await;
            response.expect_problem(401, "unauthorized");
        }
    }
    assert_eq!(world.seller().counters(&item).await, Counters::untouched(5));
}

#[tokio::test]
async fn a_sale_is_made_read_and_changed_under_its_version() {
    let world = World::start().await;
    let operator = world.seller().client().clone();
    let terms = json!({
        "title": "Saturday Sprint", "description": "Fast.",
        "starts_at": timestamp_in(0.0), "ends_at": timestamp_in(600.0),
    });
    let created = operator.post("/api/admin/sales").json(&terms).send().await.expect(201);
    let path = format!("/api/admin/sales/{}", created["id"].as_str().unwrap());
    assert_eq!(operator.get(&path).send().await.expect(200)["version"], created["version"]);

    let mut change = terms.clone();
    change["title"] = json!("Sunday Sprint");
    let version = format!("\"{}\"", created["version"]);
    let changed = operator.put(&path).header("if-match", &version).json(&change).send().await.expect(200);
    assert_eq!(changed["title"], "Sunday Sprint");
    assert!(changed["version"].as_u64() > created["version"].as_u64());

    // Somebody who read the first version would overwrite the change.
    let late = operator.put(&path).header("if-match", &version).json(&terms).send().await;
    late.expect_problem(412, "version-mismatch");
    let blind = operator.put(&path).json(&terms).send().await;
    assert!(matches!(blind.status, 412 | 422 | 400), "{blind}");
    assert_eq!(operator.get(&path).send().await.expect(200)["title"], "Sunday Sprint");
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_refused() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.draft(&ItemTerms::of(5)).await;
    let path = format!("/api/admin/items/{}", item.id);
    let before = seller.client().get(&path).send().await.expect(200);
    let version = format!("\"{}\"", before["version"]);
    let outcomes = stampede_tests::crowd(8, 8, |number| {
        let request = seller.client().put(&path).header("if-match", &version);
        let mut body = ItemTerms::of(5).body();
        body["title"] = json!(format!("Change {number}"));
        async move { request.json(&body).send().await }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|response| response.status == 200).count(), 1);
    for lost in outcomes.iter().filter(|response| response.status != 200) {
        lost.expect_problem(412, "version-mismatch");
    }
}

#[tokio::test]
async fn an_item_goes_from_draft_to_open_to_paused_to_open_to_closed() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.draft(&ItemTerms::of(5)).await;
    for (verb, state) in [("publish", "open"), ("pause", "paused"), ("resume", "open"), ("close", "ended")] {
        let response = seller.order(&item, verb).await.expect(200);
        assert_eq!(response["state"], state, "{verb}: {response}");
    }
    for verb in ["publish", "pause", "resume"] {
        seller.order(&item, verb).await.expect_problem(409, "conflict");
    }
    let unknown = stampede_tests::Item { id: "i0000000000".to_owned(), sale_id: String::new() };
    seller.order(&unknown, "publish").await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_draft_cannot_be_paused() {
    let world = World::start().await;
    let seller = world.seller();
    let draft = seller.draft(&ItemTerms::of(5)).await;
    for verb in ["pause", "resume"] {
        seller.order(&draft, verb).await.expect_problem(409, "conflict");
    }
}

#[tokio::test]
async fn publishing_twice_never_makes_stock() {
    let (world, item) = World::selling(2).await;
    let seller = world.seller();
    world.shopper().await.hold(&item).await;
    let again = seller.order(&item, "publish").await;
    assert!(matches!(again.status, 200 | 409), "{again}");
    seller.expect_counters(&item, Counters::held(2, 1)).await;
}

#[tokio::test]
async fn stock_grows_and_shrinks_but_never_below_what_is_taken() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let (first, second) = (world.shopper().await, world.shopper().await);
    first.hold(&item).await;
    second.hold(&item).await;

    seller.set_stock(&item, json!({ "total": 1 })).await.expect_problem(409, "conflict");
    seller.set_stock(&item, json!({ "add": -2 })).await.expect_problem(409, "conflict");
    seller.set_stock(&item, json!({ "total": 2 })).await.expect(200);
    seller.expect_counters(&item, Counters::held(2, 2)).await;
    seller.set_stock(&item, json!({ "add": 4 })).await.expect(200);
    seller.expect_counters(&item, Counters::held(6, 2)).await;
    for wrong in [json!({}), json!({ "add": 1, "total": 5 }), json!({ "total": -1 }), json!({ "add": "1" })] {
        let response = seller.set_stock(&item, wrong.clone()).await;
        assert_eq!(response.status, 422, "{wrong}: {response}");
    }
    seller.expect_counters(&item, Counters::held(6, 2)).await;
}

#[tokio::test]
async fn new_stock_opens_a_sold_out_item_again() {
    let (world, item) = World::selling(1).await;
    let seller = world.seller();
    world.shopper().await.hold(&item).await;
    let late = world.shopper().await;
    late.reserve(&item).await.expect_problem(410, "sold-out");
    seller.set_stock(&item, json!({ "add": 1 })).await.expect(200);
    let reservation = eventually("the new unit can be had", Duration::from_secs(5), async || {
        let response = late.reserve(&item).await;
        (response.status == 202).then(|| response.json())
    })
    .await;
    assert_eq!(late.result(&reservation).await["state"], "held");
    seller.expect_counters(&item, Counters::held(2, 2)).await;
}

#[tokio::test]
async fn a_pause_stops_the_queue_and_resuming_drains_it() {
    let (world, item) = World::builder().set("captcha_kind", "off").selling(5).await;
    let seller = world.seller();
    let before = world.shopper().await.hold(&item).await;
    assert_eq!(before["state"], "held");

    seller.order(&item, "pause").await.expect(200);
    let shopper = world.shopper().await;
    let wish = json!({ "quantity": 1 });
    shopper.ask_reservation(&item, &wish).await.expect_problem(503, "paused");
    seller.expect_counters(&item, Counters::held(5, 1)).await;

    seller.order(&item, "resume").await.expect(200);
    let reservation = eventually("the item is open again", Duration::from_secs(5), async || {
        let response = shopper.ask_reservation(&item, &wish).await;
        (response.status == 202).then(|| response.json())
    })
    .await;
    shopper.wait_for_state(&reservation, "held").await;
}

#[tokio::test]
async fn statistics_have_counters_and_a_series_over_time() {
    let (world, item) = World::selling(5).await;
    let seller = world.seller();
    world.shopper().await.hold(&item).await;
    let path = format!("/api/admin/items/{}/stats", item.id);
    let stats: Value = seller.client().get(&path).send().await.expect(200);
    let series = stats["series"].as_array().unwrap_or_else(|| panic!("no `series` in {stats:#}"));
    assert!(!series.is_empty(), "{stats:#}");
}
