use serde_json::{Value, json};
use stampede_tests::{Client, ItemTerms, World, checkout};

use super::{base64url, mac, now_seconds};

const OUR_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token signed by HMAC; its header may claim anything.
fn token(header: &str, claims: impl AsRef<[u8]>, key: &[u8]) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    format!("{signed}.{}", base64url(mac(key, signed.as_bytes())))
}

/// The same token as a header and, where a header can carry it, as a cookie: the statuses of both.
async fn present(client: &Client, token: &str) -> Vec<stampede_tests::Response> {
    let as_header = client.get("/api/orders").header("authorization", &format!("Bearer {token}"));
    let as_cookie = client.get("/api/orders").header("cookie", &format!("stampede_session={token}"));
    vec![as_header.send().await, as_cookie.send().await]
}

async fn expect_refused(client: &Client, forgeries: Vec<(&str, String)>) {
    for (what, token) in forgeries {
        for response in present(client, &token).await {
            assert_eq!(response.status, 401, "{what}: {response}");
            response.expect_problem(401, "unauthorized");
        }
    }
}

async fn expect_accepted(client: &Client, what: &str, token: &str) {
    for response in present(client, token).await {
        assert_eq!(response.status, 200, "{what}: {response}");
    }
}

#[tokio::test]
async fn no_guest_session_is_good_but_our_own() {
    let world = World::start().await;
    let client = world.client();
    let victim = world.shopper().await;
    let key = world.session_secret().as_bytes();
    let later = now_seconds() + 3600;
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({ "sub": victim.user_id(), "exp": later, "aud": "stampede-session" });
        change(&mut claims);
        claims.to_string()
    };
    let good = claims(&|_| {});
    let ours = |claims: String| token(OUR_HEADER, claims, key);
    // This token is good: we signed it with our key. The forgeries below change one thing each.
    expect_accepted(&client, "our own form and key", &ours(good.clone())).await;

    let set = |name: &'static str, value: Value| ours(claims(&|claims| claims[name] = value.clone()));
    let without = |name: &str| {
        ours(claims(&|claims| {
            claims.as_object_mut().unwrap().remove(name);
        }))
    };
    let whole = ours(good.clone());
    let parts: Vec<&str> = whole.split('.').collect();
    let [header, body, signature] = parts[..] else { panic!("{whole}") };
    let user = victim.user_id();
    let raw = |claims: String| ours(claims);
    let nested = format!("{}1{}", "[".repeat(1500), "]".repeat(1500));
    expect_refused(
        &client,
        vec![
            ("expired", set("exp", json!(now_seconds() - 1))),
            ("expired in 1970", set("exp", json!(0))),
            ("expired before 1970", set("exp", json!(i64::MIN))),
            ("without an expiry", without("exp")),
            ("an expiry of words", set("exp", json!("9999999999"))),
            ("an expiry beyond all numbers", raw(good.replace(&later.to_string(), "1e400"))),
            ("an expiry of 65 bits", raw(good.replace(&later.to_string(), "18446744073709551616"))),
            ("an expiry that is null", set("exp", Value::Null)),
            ("not yet good", set("nbf", json!(later))),
            ("for nobody", without("aud")),
            ("for something else of ours", set("aud", json!("stampede-challenge"))),
            ("for a list without us", set("aud", json!(["a", "b"]))),
            ("for an object", set("aud", json!({ "stampede-session": true }))),
            ("of nobody", without("sub")),
            ("of an empty name", set("sub", json!(""))),
            ("of a number", set("sub", json!(1))),
            ("of a list", set("sub", json!([user]))),
            ("two subjects", raw(good.replace("{", r#"{"sub":"u-other","#))),
            ("two expiries", raw(good.replace("{", r#"{"exp":1,"#))),
            ("something after the claims", raw(format!("{good}{good}"))),
            ("a byte order mark", raw(format!("\u{feff}{good}"))),
            ("an audience nested without end", raw(good.replace(r#""stampede-session""#, &nested))),
            ("longer than any token", set("x", json!("x".repeat(9_000)))),
            ("another's key", token(OUR_HEADER, &good, b"another-secret-of-at-least-32-characters")),
            ("the operator's token as key", token(OUR_HEADER, &good, world.operator_token().as_bytes())),
            ("the webhook's secret as key", token(OUR_HEADER, &good, world.webhook_secret().as_bytes())),
            ("an empty key", token(OUR_HEADER, &good, b"")),
            ("the header's key twice", token(r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#, &good, key)),
            ("HS384 by name", token(r#"{"alg":"HS384","typ":"JWT"}"#, &good, key)),
            ("RS256 by name", token(r#"{"alg":"RS256","typ":"JWT"}"#, &good, key)),
            ("none, signed all the same", token(r#"{"alg":"none","typ":"JWT"}"#, &good, key)),
            ("a key of a file", token(r#"{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}"#, &good, key)),
            ("a key of a query", token(r#"{"alg":"HS256","typ":"JWT","kid":"' OR 1=1 --"}"#, &good, key)),
            ("a key brought along", token(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#, &good, key)),
            ("a key from afar", token(r#"{"alg":"HS256","jku":"http://evil.example/jwks"}"#, &good, key)),
            ("critical", token(r#"{"alg":"HS256","typ":"JWT","crit":["exp"],"exp":1}"#, &good, key)),
            ("unencoded", token(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, &good, key)),
            ("a space in the header", token(r#"{"alg": "HS256","typ":"JWT"}"#, &good, key)),
            ("none without a signature", format!("{}.{body}.", base64url(r#"{"alg":"none"}"#))),
            ("None with ours", format!("{}.{body}.{signature}", base64url(r#"{"alg":"None"}"#))),
            ("no signature", format!("{header}.{body}.")),
            ("no third part", format!("{header}.{body}")),
            ("no second part", format!("{header}..{signature}")),
            ("no first part", format!(".{body}.{signature}")),
            ("a fourth part", format!("{whole}.{signature}")),
            ("padded", format!("{whole}=")),
            ("half a signature", format!("{header}.{body}.{}", &signature[..22])),
            ("cut by one", whole[..whole.len() - 1].to_owned()),
            ("one more", format!("{whole}A")),
            ("dots", "...".to_owned()),
            ("a word", "x".to_owned()),
            ("the subject alone", user.to_owned()),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_forged_session_becomes_nobody() {
    let world = World::start().await;
    let victim = world.shopper().await;
    let claims = json!({ "sub": victim.user_id(), "exp": now_seconds() + 3600, "aud": "stampede-session" });
    let forged = token(OUR_HEADER, claims.to_string(), b"another-secret-of-at-least-32-characters");
    // A caller who asks for a session with a bad token becomes a new guest.
    let renewed = world.client().bearing(&forged).post("/api/session").send().await.expect(201);
    assert_ne!(renewed["user_id"], victim.user_id());
    let renewed = world.client().bearing(victim.token()).post("/api/session").send().await.expect(201);
    assert_eq!(renewed["user_id"], victim.user_id());
}

#[tokio::test]
async fn a_challenge_is_no_session_and_a_session_no_challenge() {
    let (world, item) = World::selling(5).await;
    let shopper = world.shopper().await;
    let challenge = shopper.ask_challenge(&item).await.expect(201)["challenge"].as_str().unwrap().to_owned();
    expect_refused(&world.client(), vec![("a challenge", challenge)]).await;
    let body = json!({ "challenge": shopper.token(), "answer": "1", "quantity": 1 });
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");
}

/// A shop whose shoppers bring tokens of an issuer; the issuer's keys, and tokens that it signed.
async fn shop_with_an_issuer() -> (World, Value) {
    let path = checkout().join("crates/web/src/caller/jwks/vectors.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let world = World::builder()
        .set("auth_mode", "jwt")
        .set("jwks", vectors["jwks"].to_string())
        .set("jwt_issuer", "https://shop.example")
        .set("jwt_audience", "stampede")
        .start()
        .await;
    (world, vectors)
}

/// The key `shared` of the issuer: the one that tests can sign with.
const SHARED: [u8; 40] = {
    let mut key = [0; 40];
    let mut at = 0;
    while at < 40 {
        key[at] = at as u8 + 1;
        at += 1;
    }
    key
};
const SHARED_HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"shared"}"#;

fn issued_to(sub: &str) -> Value {
    json!({ "sub": sub, "exp": now_seconds() + 3600, "iss": "https://shop.example", "aud": ["x", "stampede"] })
}

#[tokio::test]
async fn only_tokens_of_the_issuer_are_good() {
    let (world, vectors) = shop_with_an_issuer().await;
    let client = world.client();
    for name in ["rsa2048", "rsa3072", "rsa4096", "ec", "ed", "shared", "rsa2048_without_kid"] {
        expect_accepted(&client, name, vectors["tokens"][name].as_str().unwrap()).await;
    }
    let good = issued_to("anna@example.com");
    let signed = |claims: &Value| token(SHARED_HEADER, claims.to_string(), &SHARED);
    expect_accepted(&client, "the issuer's", &signed(&good)).await;
    let set = |name: &'static str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims)
    };
    expect_accepted(&client, "good until the end of time", &set("exp", json!(i64::MAX))).await;

    let whole = good.to_string();
    let modulus = vectors["jwks"]["keys"][0]["n"].as_str().unwrap();
    let public_key = vectors["jwks"]["keys"][0].to_string();
    let by_rsa = r#"{"alg":"HS256","typ":"JWT","kid":"rsa2048"}"#;
    let header = |rest: &str| format!(r#"{{"alg":"HS256","typ":"JWT",{rest}}}"#);
    let guest = json!({ "sub": "u-1", "exp": now_seconds() + 3600, "aud": "stampede-session" });
    let mut forgeries = vec![
        ("expired beyond all leeway", set("exp", json!(now_seconds() - 120))),
        ("not yet good", set("nbf", json!(now_seconds() + 120))),
        ("another issuer", set("iss", json!("https://shop.example.evil.example"))),
        ("no issuer", set("iss", Value::Null)),
        ("a list of issuers", set("iss", json!(["https://shop.example"]))),
        ("another audience", set("aud", json!("stampede2"))),
        ("no audience", set("aud", json!([]))),
        ("nobody", set("sub", json!(""))),
        ("two subjects", token(SHARED_HEADER, whole.replace("{", r#"{"sub":"bert","#), &SHARED)),
        (
            "two issuers",
            token(SHARED_HEADER, whole.replace("{", r#"{"iss":"https://evil.example","#), &SHARED),
        ),
        ("HS256 by the public modulus", token(by_rsa, &whole, modulus.as_bytes())),
        ("HS256 by the public key's text", token(by_rsa, &whole, public_key.as_bytes())),
        ("HS256 by no key", token(by_rsa, &whole, b"")),
        ("the shared key under the name of RSA's", token(by_rsa, &whole, &SHARED)),
        ("a key's name that nobody has", token(&header(r#""kid":"other""#), &whole, &SHARED)),
        ("a key's name of a file", token(&header(r#""kid":"../../../dev/null""#), &whole, &SHARED)),
        ("a key's name of nothing", token(&header(r#""kid":"""#), &whole, &SHARED)),
        ("a key's name that is a number", token(&header(r#""kid":1"#), &whole, &SHARED)),
        ("two algorithms", token(r#"{"alg":"none","alg":"HS256","kid":"shared"}"#, &whole, &SHARED)),
        ("critical", token(&header(r#""kid":"shared","crit":["exp"]"#), &whole, &SHARED)),
        ("unencoded", token(&header(r#""kid":"shared","b64":false,"crit":["b64"]"#), &whole, &SHARED)),
        ("another kind of token", token(r#"{"alg":"HS256","typ":"JWE","kid":"shared"}"#, &whole, &SHARED)),
        ("RS256 by HMAC", token(r#"{"alg":"RS256","typ":"JWT","kid":"rsa2048"}"#, &whole, &SHARED)),
        ("a guest's session", token(OUR_HEADER, guest.to_string(), world.session_secret().as_bytes())),
        ("a guest's session with our claims", token(OUR_HEADER, &whole, world.session_secret().as_bytes())),
    ];
    for name in [
        "confused_pem",
        "confused_modulus",
        "rsa2048_sha512",
        "critical",
        "other_type",
        "other_kid",
        "ec_in_der",
        "ec_zero",
        "unsigned_none",
        "unsigned_None",
        "unsigned_NONE",
        "unsigned_",
    ] {
        forgeries.push((name, vectors["tokens"][name].as_str().unwrap().to_owned()));
    }
    expect_refused(&client, forgeries).await;
    // This shop has no guest sessions.
    client.post("/api/session").send().await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn nobody_becomes_another_by_the_choice_of_a_name() {
    let (world, _) = shop_with_an_issuer().await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let bearing = |sub: &str| {
        let token = token(SHARED_HEADER, issued_to(sub).to_string(), &SHARED);
        world.client().bearing(&token)
    };
    // These names could break a record, a key or a command. Each is one shopper and no other.
    let names = [
        "anna",
        "Anna",
        "anna ",
        "anna|1",
        "anna\u{0}",
        "anna\r\nDEL x",
        "{anna}:0",
        "*",
        "安娜",
        "queued|anna|1",
        "a\"b",
        &"a".repeat(64),
        &"a".repeat(65),
        &"a".repeat(2_000),
    ];
    let mut own = Vec::new();
    for name in names {
        let client = bearing(name);
        let challenge = client.post(&format!("/api/items/{}/challenges", item.id)).send().await.expect(201);
        let solution = stampede_tests::solve_proof_of_work(
            challenge["challenge"].as_str().unwrap(),
            challenge["difficulty"].as_u64().unwrap(),
        );
        let body = json!({ "challenge": challenge["challenge"], "answer": solution, "quantity": 1 });
        let path = format!("/api/items/{}/reservations", item.id);
        let response = client.post(&path).json(&body).send().await;
        assert!(matches!(response.status, 202 | 410), "{name:?}: {response}");
        if response.status == 202 {
            own.push((name, response.json()["id"].as_str().unwrap().to_owned()));
        }
    }
    for (owner, reservation) in &own {
        // Anybody can compute the digest that stands for a strange name, and send it as a name.
        let digest = <sha2::Sha256 as sha2::Digest>::digest(owner.as_bytes());
        let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        for (other, status) in
            [(owner.to_string(), 200), (format!("x-{digest}"), 404), ("bert".to_owned(), 404)]
        {
            let response = bearing(&other).get(&format!("/api/reservations/{reservation}")).send().await;
            assert_eq!(response.status, status, "{other:?} looks at {owner:?}'s: {response}");
        }
    }
}
