use reqwest::Method;
use serde_json::{Value, json};
use stampede_tests::{Counters, ItemTerms, World};

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_the_cookie_of_a_shopper() {
    let world = World::start().await;
    let seller = world.seller();
    let (item, other) = (seller.publish(&ItemTerms::of(5)).await, seller.publish(&ItemTerms::of(5)).await);
    let shopper = world.shopper().await;
    let held = shopper.hold(&item).await;
    let ordered = shopper.hold(&other).await;
    let order = shopper.checkout(&ordered).await.expect(201);
    let (held, order) = (held["id"].as_str().unwrap(), order["id"].as_str().unwrap());
    let contact = json!({ "contact": "c", "address": "a", "note": "n" });
    let calls: Vec<(Method, String, Option<Value>)> = vec![
        (Method::POST, "/api/session".to_owned(), None),
        (Method::POST, format!("/api/items/{}/challenges", item.id), None),
        (Method::POST, format!("/api/items/{}/reservations", item.id), Some(json!({ "quantity": 1 }))),
        (Method::POST, format!("/api/reservations/{held}/checkout"), Some(contact)),
        (Method::DELETE, format!("/api/reservations/{held}"), None),
        (Method::POST, format!("/api/orders/{order}/payments"), None),
        (Method::POST, format!("/api/orders/{order}/cancel"), None),
    ];
    let authority = world.host.base().replace("http://", "");
    let foreign: Vec<Vec<(&str, String)>> = vec![
        vec![("origin", "https://evil.example".to_owned())],
        vec![("origin", "null".to_owned())],
        vec![("origin", format!("http://{authority}.evil.example"))],
        vec![("origin", format!("http://evil.example/{authority}"))],
        vec![("origin", format!("http://evil@{authority}"))],
        vec![("sec-fetch-site", "cross-site".to_owned())],
        vec![("sec-fetch-site", "same-site".to_owned())],
        vec![("sec-fetch-site", "cross-site".to_owned()), ("origin", format!("http://{authority}"))],
        // A proxy's headers count only where the shop trusts a proxy.
        vec![("origin", "https://evil.example".to_owned()), ("x-forwarded-host", "evil.example".to_owned())],
    ];
    let cookie = format!("stampede_session={}", shopper.token());
    for (method, path, body) in &calls {
        for headers in &foreign {
            let mut request = world.client().request(method.clone(), path).header("cookie", &cookie);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let response = match body {
                Some(body) => request.json(body).send().await,
                None => request.send().await,
            };
            response.expect_problem(401, "unauthorized");
            assert!(response.header("set-cookie").is_none(), "{headers:?}: {response}");
        }
    }
    // No script of another site may read a response either.
    let request = world.client().get("/api/orders").header("cookie", &cookie);
    let response = request.header("origin", "https://evil.example").send().await;
    assert!(response.header("access-control-allow-origin").is_none(), "{response}");
    let preflight = world.client().request(Method::OPTIONS, "/api/orders");
    let preflight = preflight.header("origin", "https://evil.example");
    let response = preflight.header("access-control-request-method", "GET").send().await;
    assert!(response.header("access-control-allow-origin").is_none(), "{response}");

    seller.expect_counters(&item, Counters::held(5, 1)).await;
    seller.expect_counters(&other, Counters::ordered(5, 1)).await;
    // The shop's own page may.
    let own = world.client().request(Method::DELETE, &format!("/api/reservations/{held}"));
    let own = own.header("cookie", &cookie).header("origin", &world.host.base());
    own.header("sec-fetch-site", "same-origin").send().await.expect(204);
}

#[tokio::test]
async fn the_session_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let world = World::builder().set("trust_proxy", "on").start().await;
    let response = world.client().post("/api/session").header("x-forwarded-proto", "https").send().await;
    let cookie = response.header("set-cookie").unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.contains(word), "no {word} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // The shop ignores a client's own line in front of the proxy's.
    let request = world.client().post("/api/session").header("x-forwarded-proto", "https");
    let response = request.header("x-forwarded-proto", "http").send().await;
    assert!(!response.header("set-cookie").unwrap().contains("Secure"), "{response}");
}

#[tokio::test]
async fn nobody_does_the_work_of_an_operator_without_the_operator_token() {
    let world = World::start().await;
    let item = world.seller().draft(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;
    let token = world.operator_token();
    let document = world.client().get("/api/openapi.json").send().await.expect(200);
    let mut routes = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        if template.starts_with("/api/admin") || template.starts_with("/internal") {
            let path: Vec<&str> = template
                .split('/')
                .map(|part| if part.starts_with('{') { item.id.as_str() } else { part })
                .collect();
            for method in ["get", "post", "put", "delete"] {
                if operations.get(method).is_some() {
                    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                    routes.push((method, path.join("/")));
                }
            }
        }
    }
    assert!(routes.len() > 20, "only {} routes are described", routes.len());
    let guesses = [
        ("authorization", "Bearer".to_owned()),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", format!("Bearer {}", &token[..token.len() - 1])),
        ("authorization", format!("Bearer {token}x")),
        ("authorization", format!("Bearer {}", token.to_uppercase())),
        ("authorization", format!("Bearer {token}, Bearer {token}")),
        ("authorization", format!("Bearer \"{token}\"")),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("{token} Bearer")),
        ("authorization", format!("Bearer {}", shopper.token())),
        ("authorization", "Bearer {{ admin_token }}".to_owned()),
        ("authorization", "Bearer *".to_owned()),
        ("cookie", format!("stampede_session={token}; admin_token={token}")),
        ("x-admin-token", token.to_owned()),
        ("x-original-url", "/healthz".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
    ];
    for (method, path) in &routes {
        for (name, value) in &guesses {
            let request = world.client().request(method.clone(), path).header(name, value);
            let response = request.header("if-match", "\"1\"").json(&json!({})).send().await;
            // The shop may slow down too many guesses; no guess gets further.
            assert!(
                matches!(response.slug().as_deref(), Some("unauthorized" | "rate-limited")),
                "{value}: {response}"
            );
        }
        // Neither the address nor a form carries it, where logs and histories would keep it.
        let query = format!("{path}?admin_token={token}&access_token={token}");
        let response = world.client().request(method.clone(), &query).send().await;
        assert!(matches!(response.slug().as_deref(), Some("unauthorized" | "rate-limited")), "{response}");
    }
    // The right token works, so the refusals were due to the wrong ones.
    let found =
        world.seller().client().get(&format!("/api/admin/items/{}", item.id)).send().await.expect(200);
    assert_eq!(found["state"], "draft");
}
