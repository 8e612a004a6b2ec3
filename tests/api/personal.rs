use serde_json::{Value, json};
use stampede_tests::{ItemTerms, World, add_personal_data, bytes_in, rows_in};

use crate::attack::traces::redis_content;

/// What every test shopper writes at checkout.
const WORDS: [&str; 4] = ["Li Ming", "138 0000 0000", "Racecourse Road", "请放前台"];

/// Where the words of a checkout are found: names of Redis keys and of tables.
async fn places(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    // Redis's content is shown as bytes in a debug form, which keeps ASCII only.
    for (key, value) in redis_content(world).await {
        found.extend(WORDS[..3].iter().any(|word| value.contains(word)).then_some(key));
    }
    for row in rows_in(world.state_folder()) {
        let is_found = WORDS.iter().any(|word| row.contains(word));
        found.extend(is_found.then(|| row.split(": ").next().unwrap_or_default().to_owned()));
    }
    found
}

fn details_are_null(order: &Value) -> bool {
    ["contact", "address", "note"].iter().all(|name| order.get(name) == Some(&Value::Null))
}

#[tokio::test]
async fn what_an_operator_erases_is_found_nowhere_and_never_comes_back() {
    // The ledger does not run: only ticks, audits and erasures copy events.
    let world = World::builder().without_doorbells().start().await;
    let (seller, shopper, other) = (world.seller(), world.shopper().await, world.shopper().await);
    let (first, second) = (
        seller.publish(&ItemTerms::of(5).instant()).await,
        seller.publish(&ItemTerms::of(5).instant()).await,
    );
    let copied = shopper.order(&first).await;
    seller.tick().await;
    let waiting = shopper.order(&second).await;
    let id = |order: &Value| order["id"].as_str().unwrap().to_owned();
    let of_order = |order: &Value| format!("/api/admin/orders/{}/personal-data", id(order));
    let of_shopper = format!("/api/admin/shoppers/{}/personal-data", shopper.user_id());
    let show = async |order: &Value| {
        shopper.client().get(&format!("/api/orders/{}", id(order))).send().await.expect(200)
    };
    assert_eq!(show(&copied).await["address"], "1 Racecourse Road, Chengdu");
    assert!(places(&world).await.contains(&"personal_data".to_owned()));

    // One order, which waits in the outbox, and then all of the shopper's. Repeats change nothing.
    let operator = seller.client();
    for _ in 0..2 {
        assert_eq!(operator.delete(&of_order(&waiting)).send().await.status, 204);
    }
    assert!(details_are_null(&show(&waiting).await) && !details_are_null(&show(&copied).await));
    for orders in [1, 0] {
        assert_eq!(operator.delete(&of_shopper).send().await.expect(200), json!({ "orders": orders }));
    }
    assert!(details_are_null(&show(&copied).await));
    assert_eq!(places(&world).await, Vec::<String>::new());
    let bytes = bytes_in(world.state_folder());
    for word in WORDS {
        assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "`{word}` is in the file");
    }

    let log = operator.get("/api/admin/log?page_size=4").send().await.expect(200);
    let entries = log["entries"].as_array().unwrap().iter();
    let told: Vec<_> = entries.map(|entry| (entry["action"].clone(), entry["target"].clone())).collect();
    let (order, user) = (format!("order/{}", id(&waiting)), format!("user/{}", shopper.user_id()));
    let [order, user] =
        [("order.erase", order), ("user.erase", user)].map(|(action, target)| (json!(action), json!(target)));
    assert_eq!(told, [user.clone(), user, order.clone(), order]);

    // Copies, audits and a rebuild find the order, and nothing of what was erased.
    let kept = other.order(&first).await;
    seller.tick().await;
    for item in [&first, &second] {
        seller.audit(item).await;
    }
    let _: () = world.redis.command(&["FLUSHALL"]).await;
    operator.post("/api/admin/reconcile").send().await.expect(200);
    for item in [&first, &second] {
        seller.audit(item).await;
    }
    assert!(details_are_null(&show(&copied).await) && details_are_null(&show(&waiting).await));
    assert_eq!(show(&copied).await["state"], "unpaid");
    let kept = other.client().get(&format!("/api/orders/{}", id(&kept))).send().await.expect(200);
    assert_eq!(kept["address"], "1 Racecourse Road, Chengdu");
    assert_eq!(places(&world).await.len(), 2, "one order is kept, in one key and one row");
}

#[tokio::test]
async fn only_operators_erase_and_only_orders_that_exist() {
    let (world, item) = World::selling(ItemTerms::of(2).instant()).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    let path = format!("/api/admin/orders/{}/personal-data", order["id"].as_str().unwrap());
    shopper.client().delete(&path).send().await.expect_problem(401, "unauthorized");
    let of_shopper = format!("/api/admin/shoppers/{}/personal-data", shopper.user_id());
    shopper.client().delete(&of_shopper).send().await.expect_problem(401, "unauthorized");
    let operator = world.seller().client().clone();
    for unknown in ["orders/o-nothing", "orders/o-iabcdefghij-0-abcdefghijkl", "shoppers/%7B%7D"] {
        let path = format!("/api/admin/{unknown}/personal-data");
        operator.delete(&path).send().await.expect_problem(404, "not-found");
    }
    let nobody = operator.delete("/api/admin/shoppers/nobody/personal-data").send().await.expect(200);
    assert_eq!(nobody, json!({ "orders": 0 }));
    operator.get(&path).send().await.expect_problem(405, "method-not-allowed");
    let shown = shopper.client().get(&format!("/api/orders/{}", order["id"].as_str().unwrap())).send().await;
    assert_eq!(shown.expect(200)["contact"], "Li Ming, +86 138 0000 0000");
}

#[tokio::test]
async fn a_tick_erases_what_is_older_than_the_setting_allows() {
    let (world, item) =
        World::builder().set("personal_data_days", 30).selling(ItemTerms::of(2).instant()).await;
    let shopper = world.shopper().await;
    let order = shopper.order(&item).await;
    assert_eq!(world.seller().tick().await["erased"], 0);
    add_personal_data(world.state_folder(), "o-iabcdefghij-0-abcdefghijkl", 31);
    add_personal_data(world.state_folder(), "o-iabcdefghij-0-abcdefghijkm", 29);
    let found = || rows_in(world.state_folder()).iter().filter(|row| row.contains("Old Road")).count();
    assert_eq!(found(), 2);
    assert_eq!(world.seller().tick().await["erased"], 1);
    assert_eq!(found(), 1);
    assert_eq!(world.seller().tick().await["erased"], 0);
    let shown = shopper.client().get(&format!("/api/orders/{}", order["id"].as_str().unwrap())).send().await;
    assert_eq!(shown.expect(200)["address"], "1 Racecourse Road, Chengdu");
}
