use std::time::Duration;

use serde_json::Value;
use stampede_tests::{ItemTerms, World, eventually};

#[tokio::test]
async fn an_item_is_shown_as_it_was_published() {
    let (world, item) = World::selling(ItemTerms::of(7).limited_to(2)).await;

    let response = world.client().get(&format!("/api/items/{}", item.id)).send().await;
    let shown = response.expect(200);
    assert_eq!(shown["id"], item.id.as_str());
    assert_eq!(shown["sale_id"], item.sale_id.as_str());
    assert_eq!(shown["title"], "Aurora 75 mechanical keyboard");
    assert_eq!(shown["sale_price"], serde_json::json!({ "amount": 39900, "currency": "CNY" }));
    assert_eq!(shown["stock"], serde_json::json!({ "total": 7, "available": 7 }));
    assert_eq!(shown["per_user_limit"], 2);
    assert_eq!(shown["mode"], "queued");
    assert_eq!(shown["state"], "open");
    for moment in ["starts_at", "ends_at", "server_time"] {
        let text = shown[moment].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{moment} is {text}");
    }
    assert!(response.header("etag").is_some_and(|tag| tag.ends_with('"')), "{response}");
}

#[tokio::test]
async fn the_stock_shown_follows_within_a_second_or_so() {
    let (world, item) = World::selling(2).await;
    world.shopper().await.hold(&item).await;
    let path = format!("/api/items/{}", item.id);
    let client = world.client();
    eventually("one of two is left", Duration::from_secs(3), async || {
        let shown = client.get(&path).send().await.expect(200);
        (shown["stock"]["available"] == 1).then_some(())
    })
    .await;
    world.shopper().await.hold(&item).await;
    eventually("the item is shown sold out", Duration::from_secs(3), async || {
        let shown = client.get(&path).send().await.expect(200);
        (shown["state"] == "sold_out" && shown["stock"]["available"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn drafts_and_unknown_items_are_not_found() {
    let world = World::start().await;
    let draft = world.seller().draft(&ItemTerms::of(7)).await;
    for id in [draft.id.as_str(), "i0000000000", "nothing", "I0000000000", "i000000000%2F"] {
        world.client().get(&format!("/api/items/{id}")).send().await.expect_problem(404, "not-found");
    }
    world.client().get("/api/sales/s0000000000").send().await.expect_problem(404, "not-found");
    let sales = world.client().get("/api/sales").send().await.expect(200);
    let shown = sales.to_string();
    assert!(!shown.contains(&draft.id), "{shown}");
}

#[tokio::test]
async fn sales_come_in_pages_with_their_items() {
    let world = World::start().await;
    let seller = world.seller();
    let mut published = Vec::new();
    for _ in 0..3 {
        published.push(seller.publish(&ItemTerms::of(1)).await);
    }
    let client = world.client();
    let listed = |response: &Value| -> Vec<String> {
        let sales = response["sales"].as_array().unwrap_or_else(|| panic!("no `sales` in {response}"));
        sales.iter().map(|sale| sale["id"].as_str().unwrap().to_owned()).collect()
    };

    let all = client.get("/api/sales").send().await.expect(200);
    assert_eq!(all["total"], 3);
    assert_eq!(listed(&all).len(), 3);
    assert_eq!(all["sales"][0]["items"].as_array().unwrap().len(), 1);

    let mut seen = Vec::new();
    for page in 1..=2 {
        let part = client.get(&format!("/api/sales?page={page}&page_size=2")).send().await.expect(200);
        assert_eq!(part["total"], 3);
        seen.extend(listed(&part));
    }
    let mut wanted: Vec<String> = published.iter().map(|item| item.sale_id.clone()).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);

    let one = client.get(&format!("/api/sales/{}", published[0].sale_id)).send().await.expect(200);
    assert_eq!(one["items"][0]["id"], published[0].id.as_str());
    let none = client.get("/api/sales?q=nothing-is-called-so").send().await.expect(200);
    assert_eq!(none["total"], 0);
    let found = client.get("/api/sales?q=sprint").send().await.expect(200);
    assert_eq!(found["total"], 3);

    for query in ["page=0", "page=x", "page_size=0", "page_size=101", "page=-1"] {
        let response = client.get(&format!("/api/sales?{query}")).send().await;
        assert!(matches!(response.status, 200 | 400 | 422), "{response}");
        if response.status == 200 {
            assert!(listed(&response.json()).len() <= 100);
        }
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (world, item) = World::selling(7).await;
    let client = world.client();
    let path = format!("/api/items/{}", item.id);
    // The body carries the server's time, so the tag is about everything else.
    let tag = client.get(&path).send().await.header("etag").expect("an ETag").to_owned();
    let again = client.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!(again.status, 304, "{again}");
    assert!(again.body.is_empty());
    assert_eq!(again.header("etag"), Some(tag.as_str()));

    let changed = client.get(&path).header("if-none-match", "\"something-else\"").send().await;
    changed.expect(200);
}
