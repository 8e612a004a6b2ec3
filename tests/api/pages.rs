use std::collections::BTreeSet;

use stampede_tests::{Client, Response, World};

/// The assets that a page names, by their paths.
fn assets_of(page: &str) -> BTreeSet<String> {
    let attributes = page.split(['"', '\'']).filter(|part| part.starts_with("/assets/"));
    attributes.map(str::to_owned).collect()
}

async fn page(client: &Client, path: &str) -> Response {
    let response = client.get(path).header("accept", "text/html").send().await;
    assert_eq!(response.status, 200, "{response}");
    assert!(response.header("content-type").unwrap().starts_with("text/html"), "{response}");
    response
}

#[tokio::test]
async fn pages_are_the_same_for_everybody_and_may_be_kept_by_anyone() {
    let world = World::start().await;
    let shopper = world.shopper().await;
    for path in ["/", "/items/i0000000000", "/orders"] {
        let anonymous = page(&world.client(), path).await;
        let known = page(shopper.client(), path).await;
        assert_eq!(anonymous.body, known.body);
        assert!(anonymous.header("set-cookie").is_none(), "{anonymous}");
        let caching = anonymous.header("cache-control").expect("a page says how long it may be kept");
        assert!(caching.contains("public") && !caching.contains("no-store"), "{caching}");
        assert!(!String::from_utf8_lossy(&known.body).contains(shopper.user_id()));
    }
}

#[tokio::test]
async fn assets_have_hashed_names_and_are_kept_for_good() {
    let world = World::start().await;
    let client = world.client();
    let html = page(&client, "/").await;
    let assets = assets_of(&String::from_utf8(html.body).unwrap());
    assert!(assets.iter().any(|path| path.ends_with(".css")), "{assets:?}");
    assert!(assets.iter().any(|path| path.ends_with(".js")), "{assets:?}");
    for path in assets {
        let response = client.get(&path).send().await;
        assert_eq!(response.status, 200, "{response}");
        let caching = response.header("cache-control").unwrap();
        assert!(caching.contains("immutable") && caching.contains("max-age=31536000"), "{path}: {caching}");
    }
}

#[tokio::test]
async fn what_has_not_changed_is_answered_304_and_head_has_no_body() {
    let world = World::start().await;
    let client = world.client();
    let html = page(&client, "/").await;
    let mut paths: Vec<String> = assets_of(&String::from_utf8(html.body).unwrap()).into_iter().collect();
    paths.push("/".to_owned());
    for path in paths {
        let full = client.get(&path).send().await;
        let tag = full.header("etag").expect("an ETag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{path} has the weak or unquoted tag {tag}");

        for tags in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            let response = client.get(&path).header("if-none-match", &tags).send().await;
            assert_eq!(response.status, 304, "{tags}: {response}");
            assert!(response.body.is_empty());
            assert_eq!(response.header("etag"), Some(tag.as_str()));
        }
        assert_eq!(client.get(&path).header("if-none-match", "\"other\"").send().await.status, 200);

        let head = client.request(reqwest::Method::HEAD, &path).send().await;
        assert_eq!(head.status, 200, "{head}");
        assert!(head.body.is_empty());
        assert_eq!(head.header("etag"), full.header("etag"));
        assert_eq!(head.header("content-length"), full.header("content-length"));
    }
}

#[tokio::test]
async fn pages_come_compressed_to_those_who_can_read_it() {
    let world = World::start().await;
    let client = world.client();
    let plain = page(&client, "/").await;
    assert!(plain.header("content-encoding").is_none());
    let mut tags = BTreeSet::from([plain.header("etag").unwrap().to_owned()]);
    for encoding in ["br", "gzip"] {
        let packed = client.get("/").header("accept-encoding", encoding).send().await;
        assert_eq!(packed.header("content-encoding"), Some(encoding), "{packed}");
        assert!(packed.body.len() < plain.body.len());
        let vary = packed.header("vary").unwrap_or_default().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{packed}");
        // A strong tag stands for exact bytes, so each encoding has its own.
        assert!(tags.insert(packed.header("etag").unwrap().to_owned()), "{packed}");
    }
    let vary = plain.header("vary").unwrap_or_default().to_lowercase();
    assert!(vary.contains("accept-encoding"), "{plain}");
    let best = client.get("/").header("accept-encoding", "gzip, deflate, br").send().await;
    assert_eq!(best.header("content-encoding"), Some("br"), "{best}");
    let refused = client.get("/").header("accept-encoding", "br;q=0, gzip;q=0").send().await;
    assert_eq!(refused.header("content-encoding"), None, "{refused}");
}

#[tokio::test]
async fn the_first_load_stays_below_30_kib() {
    let world = World::start().await;
    let client = world.client();
    let html = page(&client, "/items/i0000000000").await;
    let packed = client.get("/items/i0000000000").header("accept-encoding", "br").send().await;
    let mut total = packed.body.len();
    for path in assets_of(&String::from_utf8(html.body).unwrap()) {
        total += client.get(&path).header("accept-encoding", "br").send().await.body.len();
    }
    assert!(total < 30 * 1024, "the item page loads {total} bytes");
}

#[tokio::test]
async fn pages_forbid_what_they_do_not_need() {
    let world = World::start().await;
    let html = page(&world.client(), "/").await;
    let policy = html.header("content-security-policy").expect("a Content-Security-Policy");
    for word in ["unsafe-inline", "unsafe-eval"] {
        assert!(!policy.contains(word), "{policy}");
    }
    assert_eq!(html.header("x-content-type-options"), Some("nosniff"));
}
