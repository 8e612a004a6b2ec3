use serde_json::{Value, json};
use stampede_tests::{Client, ItemTerms, World};

/// Every call that takes a JSON body, by a caller who may make it, with a path that exists.
async fn calls_with_a_body(world: &World) -> Vec<(Client, reqwest::Method, String)> {
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(5).limited_to(2)).await;
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let reservation = held["id"].as_str().unwrap();
    let (post, put) = (reqwest::Method::POST, reqwest::Method::PUT);
    let (buyer, operator) = (shopper.client().clone(), seller.client().clone());
    vec![
        (buyer.clone(), post.clone(), format!("/api/items/{}/reservations", item.id)),
        (buyer, post.clone(), format!("/api/reservations/{reservation}/checkout")),
        (operator.clone(), post.clone(), "/api/admin/sales".to_owned()),
        (operator.clone(), put.clone(), format!("/api/admin/sales/{}", item.sale_id)),
        (operator.clone(), post.clone(), format!("/api/admin/sales/{}/items", item.sale_id)),
        (operator.clone(), put, format!("/api/admin/items/{}", item.id)),
        (operator, post, format!("/api/admin/items/{}/stock", item.id)),
    ]
}

#[tokio::test]
async fn broken_json_is_malformed() {
    let world = World::start().await;
    for (client, method, path) in calls_with_a_body(&world).await {
        for body in
            ["", "{", "{\"quantity\": }", "nul", "{\"a\":1}}", "\u{feff}", "{\"a\" 1}", "[1,", "\"\\ud800\""]
        {
            let request = client.request(method.clone(), &path).header("content-type", "application/json");
            let response = request.header("if-match", "\"1\"").body(body.to_owned()).send().await;
            assert!(matches!(response.status, 400 | 422), "{body:?}: {response}");
            assert!(
                matches!(response.slug().as_deref(), Some("malformed" | "invalid")),
                "{body:?}: {response}"
            );
        }
        let not_text = vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}'];
        let request = client.request(method.clone(), &path).header("content-type", "application/json");
        request.header("if-match", "\"1\"").body(not_text).send().await.expect_problem(400, "malformed");
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_or_has_wrong_types_is_refused_by_name() {
    let world = World::start().await;
    for (client, method, path) in calls_with_a_body(&world).await {
        for body in [json!([]), json!(1), json!("text"), json!(null), json!(true)] {
            let request = client.request(method.clone(), &path).header("if-match", "\"1\"");
            let response = request.json(&body).send().await;
            assert!(matches!(response.status, 400 | 422), "{body}: {response}");
        }
        let request = client.request(method.clone(), &path).header("if-match", "\"1\"");
        let response = request.json(&json!({ "no_such_field": 1 })).send().await;
        let problem = response.expect_problem(422, "invalid");
        assert!(problem.to_string().contains("no_such_field"), "{problem}");
    }
}

#[tokio::test]
async fn a_field_given_twice_is_refused() {
    let world = World::start().await;
    for (client, method, path) in calls_with_a_body(&world).await {
        let request = client.request(method, &path).header("content-type", "application/json");
        let body = "{\"quantity\":1,\"quantity\":2,\"title\":\"a\",\"title\":\"b\",\"add\":1,\"add\":2,\"contact\":\"a\",\"contact\":\"b\"}";
        let response = request.header("if-match", "\"1\"").body(body).send().await;
        assert!(matches!(response.status, 400 | 422), "{response}");
    }
}

#[tokio::test]
async fn missing_fields_are_named() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.draft(&ItemTerms::of(5)).await;
    let path = format!("/api/admin/sales/{}/items", item.sale_id);
    for field in ["title", "sale_price", "stock"] {
        let mut body = ItemTerms::of(5).body();
        body.as_object_mut().unwrap().remove(field);
        let response = seller.client().post(&path).json(&body).send().await;
        let problem = response.expect_problem(422, "invalid");
        assert!(problem.to_string().contains(field), "{problem}");
    }
}

#[tokio::test]
async fn impossible_values_are_refused_and_named() {
    let world = World::start().await;
    let seller = world.seller();
    let item = seller.draft(&ItemTerms::of(5)).await;
    let path = format!("/api/admin/sales/{}/items", item.sale_id);
    let money = |amount: Value| json!({ "amount": amount, "currency": "CNY" });
    let cases: [(&str, Value); 14] = [
        ("title", json!("")),
        ("title", json!("x".repeat(2_000))),
        ("title", json!(5)),
        ("stock", json!(-1)),
        ("stock", json!(1.5)),
        ("stock", json!("5")),
        ("stock", json!(1e18)),
        ("per_user_limit", json!(0)),
        ("mode", json!("fast")),
        ("starts_at", json!("tomorrow")),
        ("starts_at", json!("2026-02-30T00:00:00.000Z")),
        ("sale_price", money(json!(-1))),
        ("sale_price", json!({ "amount": 1, "currency": "YUAN" })),
        ("sale_price", json!(9900)),
    ];
    for (field, value) in cases {
        let mut body = ItemTerms::of(5).body();
        body[field] = value.clone();
        let response = seller.client().post(&path).json(&body).send().await;
        let problem = response.expect_problem(422, "invalid");
        assert!(problem.to_string().contains(field), "{field}={value}: {problem}");
    }
}

#[tokio::test]
async fn a_huge_body_is_too_large_before_anything_else() {
    let world = World::start().await;
    for (client, method, path) in calls_with_a_body(&world).await {
        for size in [17 * 1024, 300 * 1024] {
            let request = client.request(method.clone(), &path).header("content-type", "application/json");
            let body = format!("{{\"note\":\"{}\"}}", "x".repeat(size));
            let response = request.header("if-match", "\"1\"").body(body).send().await;
            response.expect_problem(413, "too-large");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_an_unsupported_media_type() {
    let world = World::start().await;
    for (client, method, path) in calls_with_a_body(&world).await {
        for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let request = client.request(method.clone(), &path).header("content-type", media);
            let response = request.header("if-match", "\"1\"").body("quantity=1").send().await;
            response.expect_problem(415, "unsupported-media-type");
        }
    }
}

#[tokio::test]
async fn wrong_methods_are_refused_with_those_that_are_right() {
    let (world, item) = World::selling(5).await;
    let seller = world.seller();
    let shopper = world.shopper().await;
    let (buyer, operator) = (shopper.client().clone(), seller.client().clone());
    let id = &item.id;
    let cases: Vec<(&Client, &str, String, &[&str])> = vec![
        (&buyer, "POST", "/api/sales".to_owned(), &["GET"]),
        (&buyer, "DELETE", format!("/api/sales/{}", item.sale_id), &["GET"]),
        (&buyer, "PATCH", format!("/api/items/{id}"), &["GET"]),
        (&buyer, "GET", "/api/session".to_owned(), &["POST"]),
        (&buyer, "GET", format!("/api/items/{id}/challenges"), &["POST"]),
        (&buyer, "DELETE", format!("/api/items/{id}/reservations"), &["POST"]),
        (&buyer, "POST", "/api/reservations/r-x".to_owned(), &["GET", "DELETE"]),
        (&buyer, "GET", "/api/reservations/r-x/checkout".to_owned(), &["POST"]),
        (&buyer, "POST", "/api/orders".to_owned(), &["GET"]),
        (&operator, "DELETE", "/api/admin/sales".to_owned(), &["GET", "POST"]),
        (&operator, "POST", format!("/api/admin/items/{id}"), &["GET", "PUT"]),
        (&operator, "GET", format!("/api/admin/items/{id}/publish"), &["POST"]),
        (&operator, "GET", "/internal/tick".to_owned(), &["POST"]),
        (&buyer, "POST", "/healthz".to_owned(), &["GET"]),
        (&buyer, "POST", "/".to_owned(), &["GET"]),
    ];
    for (client, method, path, right) in cases {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = client.request(method, &path).send().await;
        response.expect_problem(405, "method-not-allowed");
        let allow: Vec<&str> =
            response.header("allow").expect("405 has Allow").split(',').map(str::trim).collect();
        for method in right {
            assert!(allow.contains(method), "no {method} in Allow of {response}");
        }
    }
}

#[tokio::test]
async fn unknown_routes_are_not_found() {
    let world = World::start().await;
    let paths = [
        "/api",
        "/api/nothing",
        "/api/items",
        "/api/items/i0000000000/nothing",
        "/api/reservations",
        "/api/admin",
        "/api/admin/nothing",
        "/internal/nothing",
        "/nothing",
        "/assets/nothing.js",
        "/pictures/nothing.svg",
        "/..%2f..%2fspin.toml",
        "/pictures/..%2f..%2fspin.toml",
        "/pictures/%2e%2e/%2e%2e/spin.toml",
        "//etc/passwd",
    ];
    let operator = world.seller().client().clone();
    for path in paths {
        let response = operator.get(path).header("accept", "application/json").send().await;
        assert_eq!(response.status, 404, "{response}");
        assert!(!String::from_utf8_lossy(&response.body).contains("spin_manifest_version"), "{response}");
    }
}
