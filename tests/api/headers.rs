use reqwest::Method;
use serde_json::json;
use stampede_tests::{Client, ItemTerms, Response, Shopper, World};

const EVIL: &str = "https://evil.example";
const PARTNER: &str = "https://partner.example";

/// The host and port that the client asks, as a browser writes an origin.
fn own_origin(world: &World) -> String {
    world.host.base()
}

fn cookie(shopper: &Shopper) -> String {
    format!("stampede_session={}", shopper.token())
}

async fn preflight(client: &Client, path: &str, origin: &str) -> Response {
    client
        .request(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type")
        .send()
        .await
}

/// One response of each kind: pages, assets, pictures, JSON, problems of every family, without a body.
async fn responses(world: &World) -> Vec<Response> {
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = world.shopper().await;
    let (client, buyer) = (world.client(), shopper.client());
    let held = shopper.hold(&item).await;
    let reservation = format!("/api/reservations/{}", held["id"].as_str().unwrap());
    let etag = client.get("/").send().await.header("etag").unwrap().to_owned();
    vec![
        client.get("/").send().await,
        client.get("/").header("if-none-match", &etag).send().await,
        client.get("/no-such-page").header("accept", "text/html").send().await,
        client.get("/no-such-thing").send().await,
        client.get("/pictures/keyboard.svg").send().await,
        client.get("/favicon.ico").send().await,
        client.get("/robots.txt").send().await,
        client.get(&format!("/api/items/{}", item.id)).send().await,
        client.get("/api/items/i0000000000").send().await,
        client.get("/api/orders").send().await,
        client.delete("/api/orders").send().await,
        buyer.post(&format!("/api/items/{}/challenges", item.id)).send().await,
        shopper.ask_reservation(&item, &json!({ "x": 1 })).await,
        buyer.get(&reservation).send().await,
        buyer.delete(&reservation).send().await,
        client.get("/healthz").send().await,
        client.get("/api/admin/sales").send().await,
        client.get("/api/openapi.json").send().await,
    ]
}

#[tokio::test]
async fn every_response_says_what_a_browser_may_not_do_with_it() {
    let world = World::start().await;
    for response in responses(&world).await {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{response}");
        assert_eq!(response.header("x-frame-options"), Some("DENY"), "{response}");
        assert!(
            response.header("permissions-policy").is_some_and(|text| text.contains("camera=()")),
            "{response}"
        );
        let referrer = response.header("referrer-policy");
        assert!(matches!(referrer, Some("no-referrer" | "same-origin")), "{response}");
        let policy =
            response.header("content-security-policy").unwrap_or_else(|| panic!("no policy: {response}"));
        assert!(policy.starts_with("default-src 'none'"), "{response}");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"),
            "{response}"
        );
        // A picture may style itself: it is a document without scripts and without an origin.
        let policy =
            policy.replace("style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox", "");
        for word in ["unsafe-", "*", "http:"] {
            assert!(!policy.contains(word), "{response}");
        }
        // Each header stands once: of two, a browser may take either.
        for name in ["content-security-policy", "x-frame-options", "permissions-policy", "cache-control"] {
            assert_eq!(response.headers.get_all(name).iter().count(), 1, "{name}: {response}");
        }
        assert_eq!(response.header("strict-transport-security"), None, "without TLS: {response}");
        assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
    }
}

#[tokio::test]
async fn behind_tls_browsers_are_told_to_stay_there() {
    let world = World::builder().set("trust_proxy", "on").start().await;
    let client = world.client();
    for path in ["/", "/api/sales", "/api/orders", "/healthz", "/no-such-page"] {
        let secure = client.get(path).header("x-forwarded-proto", "https").send().await;
        assert_eq!(secure.header("strict-transport-security"), Some("max-age=31536000"), "{secure}");
        let plain = client.get(path).header("x-forwarded-proto", "http").send().await;
        assert_eq!(plain.header("strict-transport-security"), None, "{plain}");
    }
    let session = client.post("/api/session").header("x-forwarded-proto", "https").send().await;
    assert!(session.header("set-cookie").unwrap().contains("; Secure"), "{session}");

    let untrusting = World::start().await;
    let forged = untrusting.client().get("/").header("x-forwarded-proto", "https").send().await;
    assert_eq!(forged.header("strict-transport-security"), None, "{forged}");
}

#[tokio::test]
async fn pages_of_other_sites_can_read_and_do_nothing_unless_they_are_named() {
    let (world, item) = World::selling(5).await;
    let path = format!("/api/items/{}/reservations", item.id);
    for origin in [EVIL, "null", "*", &own_origin(&world)] {
        let asked = preflight(&world.client(), &path, origin).await;
        asked.expect_problem(405, "method-not-allowed");
        assert_eq!(asked.header("access-control-allow-origin"), None, "{asked}");
        let read = world.client().get("/api/sales").header("origin", origin).send().await;
        assert_eq!(read.status, 200, "{read}");
        assert_eq!(read.header("access-control-allow-origin"), None, "{read}");
    }
}

#[tokio::test]
async fn a_named_origin_may_call_with_the_cookie_and_nobody_near_it() {
    let (world, item) =
        World::builder().set("cors_origins", format!("{PARTNER}, http://localhost:5173")).selling(5).await;
    let shopper = world.shopper().await;
    let path = format!("/api/items/{}/challenges", item.id);

    for origin in [PARTNER, "http://localhost:5173"] {
        let allowed = preflight(&world.client(), &path, origin).await;
        assert_eq!(allowed.status, 204, "{allowed}");
        assert!(allowed.body.is_empty());
        assert_eq!(allowed.header("access-control-allow-origin"), Some(origin), "{allowed}");
        assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"), "{allowed}");
        assert!(allowed.header("access-control-allow-methods").unwrap().contains("POST"), "{allowed}");
        let headers = allowed.header("access-control-allow-headers").unwrap();
        for name in ["authorization", "content-type", "if-match"] {
            assert!(headers.contains(name), "{allowed}");
        }
        assert!(allowed.header("vary").unwrap().contains("origin"), "{allowed}");

        let request = world.client().post(&path).header("cookie", &cookie(&shopper)).header("origin", origin);
        let response = request.header("sec-fetch-site", "cross-site").send().await;
        response.expect(201);
        assert_eq!(response.header("access-control-allow-origin"), Some(origin), "{response}");
        let exposed = response.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{response}");
        // The page can read refusals too; otherwise it could not say why.
        let refused = world.client().get("/api/orders").header("origin", origin).send().await;
        assert_eq!(
            (refused.status, refused.header("access-control-allow-origin")),
            (401, Some(origin)),
            "{refused}"
        );
    }
    for origin in [
        EVIL,
        "https://partner.example.evil.example",
        "https://www.partner.example",
        "http://partner.example",
        "https://partner.example:8443",
        "http://localhost",
        "null",
    ] {
        let asked = preflight(&world.client(), &path, origin).await;
        asked.expect_problem(405, "method-not-allowed");
        let request = world.client().post(&path).header("cookie", &cookie(&shopper)).header("origin", origin);
        let response = request.send().await;
        response.expect_problem(401, "unauthorized");
        for response in [asked, response] {
            assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
            assert!(response.header("vary").unwrap().contains("origin"), "{response}");
        }
    }
    // A cache must keep the responses to different origins apart.
    let kept = world.client().get("/api/sales").send().await;
    assert!(kept.header("vary").unwrap().contains("origin"), "{kept}");
    // Pages are for our own origin.
    let html = world.client().get("/").header("origin", PARTNER).send().await;
    assert_eq!(html.header("access-control-allow-origin"), None, "{html}");
}

#[tokio::test]
async fn an_open_api_is_open_without_the_cookie_only() {
    let (world, item) = World::builder().set("cors_origins", "*").selling(5).await;
    let shopper = world.shopper().await;
    let path = format!("/api/items/{}/challenges", item.id);
    let asked = preflight(&world.client(), &path, EVIL).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some("*")), "{asked}");
    assert_eq!(asked.header("access-control-allow-credentials"), None, "{asked}");
    let by_token = shopper.client().post(&path).header("origin", EVIL).send().await;
    by_token.expect(201);
    assert_eq!(by_token.header("access-control-allow-origin"), Some("*"), "{by_token}");
    assert_eq!(by_token.header("access-control-allow-credentials"), None, "{by_token}");
    let by_cookie = world.client().post(&path).header("cookie", &cookie(&shopper)).header("origin", EVIL);
    by_cookie.send().await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn the_cookie_acts_for_pages_of_our_own_only() {
    let (world, item) = World::selling(5).await;
    let shopper = world.shopper().await;
    let own = own_origin(&world);
    let port = own.rsplit(':').next().unwrap().to_owned();
    let challenge = format!("/api/items/{}/challenges", item.id);
    let ask = |origin: Option<&str>, site: Option<&str>| {
        let mut request = world.client().post(&challenge).header("cookie", &cookie(&shopper));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        request.send()
    };
    ask(Some(&own), Some("same-origin")).await.expect(201);
    ask(Some(&own), None).await.expect(201);
    ask(None, Some("same-origin")).await.expect(201);
    let strangers = [
        EVIL.to_owned(),
        "null".to_owned(),
        String::new(),
        "http://127.0.0.1".to_owned(),
        "http://127.0.0.1:1".to_owned(),
        format!("http://shop.127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("file://127.0.0.1:{port}"),
    ];
    for origin in &strangers {
        ask(Some(origin), None).await.expect_problem(401, "unauthorized");
    }
    for site in ["cross-site", "same-site", "nonsense"] {
        ask(None, Some(site)).await.expect_problem(401, "unauthorized");
        ask(Some(&own), Some(site)).await.expect_problem(401, "unauthorized");
    }
    // A browser always says which page asks for a change, and a program brings its token.
    ask(None, None).await.expect_problem(401, "unauthorized");
    let by_token = shopper.client().post(&challenge).send().await;
    by_token.expect(201);
    // Reading is harmless: a page of another site can't see the response.
    let read = world.client().get("/api/orders").header("cookie", &cookie(&shopper)).header("origin", EVIL);
    read.send().await.expect(200);
}

#[tokio::test]
async fn behind_a_proxy_the_page_is_ours_by_what_the_client_asked() {
    let (world, item) = World::builder().set("trust_proxy", "on").selling(5).await;
    let shopper = world.shopper().await;
    let ask = |origin: &str, host: &str, path: &str| {
        let request = world.client().post(path).header("cookie", &cookie(&shopper));
        let request = request.header("origin", origin).header("x-forwarded-proto", "https");
        request.header("x-forwarded-host", host).send()
    };
    let path = format!("/api/items/{}/challenges", item.id);
    ask("https://shop.example", "shop.example", &path).await.expect(201);
    ask("https://shop.example", "evil.example, shop.example:443", &path).await.expect(201);
    // Anybody on the network path can write a page under http.
    ask("http://shop.example", "shop.example", &path).await.expect_problem(401, "unauthorized");
    ask("https://shop.example:8443", "shop.example", &path).await.expect_problem(401, "unauthorized");
    ask("https://shop.example", "shop.example, evil.example", &path)
        .await
        .expect_problem(401, "unauthorized");
    // Every function follows this rule; this one asks for no challenge.
    let held = shopper.hold(&item).await;
    let path = format!("/api/reservations/{}/checkout", held["id"].as_str().unwrap());
    let request = world.client().post(&path).header("cookie", &cookie(&shopper));
    let request = request.header("origin", "https://shop.example").header("x-forwarded-proto", "https");
    let body = json!({ "contact": "Li Ming", "address": "1 Racecourse Road, Chengdu" });
    request.header("x-forwarded-host", "shop.example").json(&body).send().await.expect(201);
}

#[test]
fn every_component_behind_http_is_told_what_its_headers_depend_on() {
    let manifest = std::fs::read_to_string(stampede_tests::checkout().join("spin.toml")).unwrap();
    let manifest: toml::Value = toml::from_str(&manifest).unwrap();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    assert!(triggers.len() > 10);
    for trigger in triggers {
        let (component, route) = (trigger["component"].as_str().unwrap(), trigger["route"].as_str().unwrap());
        let variables = manifest["component"][component]["variables"].as_table().unwrap();
        assert!(
            variables.contains_key("trust_proxy"),
            "{component} does not know whether there is TLS in front"
        );
        if route.starts_with("/api/") {
            assert!(variables.contains_key("cors_origins"), "{component} does not know who may call {route}");
        }
    }
}
