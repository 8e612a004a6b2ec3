use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{Client, Item, ItemTerms, Response, World, eventually, values_in_store};

use crate::provider::{Provider, pay};

async fn archive(operator: &Client, sale: &str) -> Response {
    operator.post(&format!("/api/admin/sales/{sale}/archive")).send().await
}

/// The ids of the sales that a path lists.
async fn listed(client: &Client, path: &str) -> Vec<Value> {
    let list = client.get(path).send().await.expect(200);
    let ids = list["sales"].as_array().unwrap().iter().map(|sale| sale["id"].clone()).collect::<Vec<_>>();
    assert_eq!(list["total"], ids.len(), "{list}");
    ids
}

/// Actions in the log, newest first, each with its target.
async fn log(operator: &Client) -> Vec<(String, String)> {
    let log = operator.get("/api/admin/log?page_size=100").send().await.expect(200);
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = log["entries"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "action"), text(entry, "target"))).collect()
}

#[tokio::test]
async fn a_sale_that_is_over_is_archived_and_only_its_buyers_still_see_what_it_sold() {
    let (world, item) = World::selling(3).await;
    let seller = world.seller();
    let operator = seller.client().clone();
    let other = seller.publish(&ItemTerms::of(1)).await;
    let (buyer, undecided) = (world.shopper().await, world.shopper().await);

    archive(&operator, &item.sale_id).await.expect_problem(409, "conflict");
    let held = undecided.hold(&item).await;
    let order = buyer.order(&item).await;
    seller.order(&item, "close").await.expect(200);
    for what in ["a hold", "an unpaid order"] {
        let problem = archive(&operator, &item.sale_id).await.expect_problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains(&item.id), "{what}: {problem}");
        if what == "a hold" {
            undecided.give_back(&held).await;
        }
    }
    let payment = pay(&buyer, &order).await;
    Provider::of(&world).tell(&payment, "payment.succeeded", 39900).send().await.expect(200);
    let archived = archive(&operator, &item.sale_id).await.expect(200);
    assert_eq!((archived["archived"].clone(), archived["version"].clone()), (json!(true), json!(2)));
    assert_eq!(archive(&operator, &item.sale_id).await.expect(200), archived, "again");

    let client = world.client();
    for path in [format!("/api/sales/{}", item.sale_id), format!("/api/items/{}", item.id)] {
        eventually("the public sees it no more", Duration::from_secs(5), async || {
            (client.get(&path).send().await.status == 404).then_some(())
        })
        .await;
    }
    for path in ["/api/sales", "/api/sales?q=sprint"] {
        eventually("the other sale alone is listed", Duration::from_secs(5), async || {
            (listed(&client, path).await == [json!(other.sale_id)]).then_some(())
        })
        .await;
    }
    eventually("the key-value store has no snapshot of it", Duration::from_secs(5), async || {
        values_in_store(world.state_folder(), &format!("item/{}", item.id)).is_empty().then_some(())
    })
    .await;

    // Its buyer still has the order, and sees what it is for. Nobody else does.
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(buyer.client().get(&path).send().await.expect(200)["state"], "paid");
    assert_eq!(buyer.orders().await.len(), 1);
    let what = format!("{path}/item");
    let bought = buyer.client().get(&what).send().await.expect(200);
    assert_eq!(bought["title"], "Aurora 75 mechanical keyboard");
    assert_eq!(bought["image"], "/pictures/keyboard.svg");
    undecided.client().get(&what).send().await.expect_problem(404, "not-found");
    client.get(&what).send().await.expect_problem(401, "unauthorized");

    // The operator finds it among the archived ones, and can't change it.
    assert_eq!(listed(&operator, "/api/admin/sales").await, [json!(other.sale_id)]);
    assert_eq!(listed(&operator, "/api/admin/sales?archived=true").await, [json!(item.sale_id)]);
    assert_eq!(listed(&operator, "/api/admin/sales?archived=true&q=sprint").await, [json!(item.sale_id)]);
    operator.get("/api/admin/sales?archived=yes").send().await.expect_problem(422, "invalid");
    let items = format!("/api/admin/sales/{}/items", item.sale_id);
    assert_eq!(operator.get(&items).send().await.expect(200)["items"][0]["state"], "ended");
    operator.post(&items).json(&ItemTerms::of(1).body()).send().await.expect_problem(409, "conflict");
    let changes = [
        (format!("/api/admin/items/{}", item.id), ItemTerms::of(3).body()),
        (format!("/api/admin/items/{}/rules", item.id), json!({ "paused": true })),
        (
            format!("/api/admin/sales/{}", item.sale_id),
            json!({
                "title": "Sunday Sprint",
                "starts_at": stampede_tests::timestamp_in(0.0),
                "ends_at": stampede_tests::timestamp_in(60.0),
            }),
        ),
    ];
    for (path, body) in changes {
        let change = operator.put(&path).header("if-match", "\"2\"").json(&body).send().await;
        change.expect_problem(409, "conflict");
    }
    for step in ["publish", "pause", "resume", "close"] {
        seller.order(&item, step).await.expect_problem(409, "conflict");
    }
    seller.audit(&item).await;
    let entries = log(&operator).await;
    let archivals = entries.iter().filter(|(action, _)| action == "sale.archive").collect::<Vec<_>>();
    assert_eq!(archivals, [&("sale.archive".to_owned(), format!("sale/{}", item.sale_id))]);
}

#[tokio::test]
async fn what_was_never_published_can_be_deleted_and_nothing_else() {
    let (world, sold) = World::selling(3).await;
    let seller = world.seller();
    let operator = seller.client().clone();
    let delete = async |path: String, version: &str| {
        operator.delete(&path).header("if-match", &format!("\"{version}\"")).send().await
    };
    let item_path = |item: &Item| format!("/api/admin/items/{}", item.id);
    let sale_path = |item: &Item| format!("/api/admin/sales/{}", item.sale_id);

    // What was published stays, and so does its sale.
    delete(item_path(&sold), "2").await.expect_problem(409, "conflict");
    delete(sale_path(&sold), "1").await.expect_problem(409, "conflict");
    world.client().get(&format!("/api/items/{}", sold.id)).send().await.expect(200);

    let draft = seller.draft(&ItemTerms::of(1)).await;
    operator.delete(&item_path(&draft)).send().await.expect_problem(422, "invalid");
    delete(item_path(&draft), "7").await.expect_problem(412, "version-mismatch");
    for _ in 0..2 {
        assert_eq!(delete(item_path(&draft), "1").await.status, 204, "also when it is gone");
    }
    operator.get(&item_path(&draft)).send().await.expect_problem(404, "not-found");
    assert_eq!(operator.get(&format!("{}/items", sale_path(&draft))).send().await.expect(200)["total"], 0);

    let draft = seller.draft(&ItemTerms::of(1)).await;
    delete(sale_path(&draft), "7").await.expect_problem(412, "version-mismatch");
    for _ in 0..2 {
        assert_eq!(delete(sale_path(&draft), "1").await.status, 204, "also when it is gone");
    }
    operator.get(&sale_path(&draft)).send().await.expect_problem(404, "not-found");
    operator.get(&item_path(&draft)).send().await.expect_problem(404, "not-found");
    delete("/api/admin/sales/nothing".to_owned(), "1").await.expect_problem(404, "not-found");
    let made = operator.post(&format!("{}/items", sale_path(&draft))).json(&ItemTerms::of(1).body());
    made.send().await.expect_problem(404, "not-found");

    let entries = log(&operator).await;
    let deletions = entries.iter().filter(|(action, _)| action.ends_with(".delete"));
    let targets = deletions.map(|(_, target)| target.clone()).collect::<Vec<_>>();
    assert_eq!(targets.len(), 2, "{targets:?}");
    assert_eq!(targets[0], format!("sale/{}", draft.sale_id));
}
