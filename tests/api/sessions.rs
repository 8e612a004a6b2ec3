use stampede_tests::World;

#[tokio::test]
async fn a_guest_gets_a_session_as_token_and_as_cookie() {
    let world = World::start().await;
    let response = world.client().post("/api/session").send().await;
    let session = response.expect(201);
    assert!(session["user_id"].as_str().unwrap().starts_with("u-"));
    let cookie = response.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("stampede_session="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(attribute), "no {attribute} in {cookie}");
    }

    let pair = cookie.split(';').next().unwrap();
    let by_cookie = world.client().get("/api/orders").header("cookie", pair).send().await;
    by_cookie.expect(200);
    let by_token = world.client().bearing(session["token"].as_str().unwrap()).get("/api/orders").send().await;
    by_token.expect(200);
}

#[tokio::test]
async fn without_a_true_session_nothing_of_a_shopper_is_shown() {
    let world = World::start().await;
    let shopper = world.shopper().await;
    let token = shopper.token();
    let (head, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    use base64::Engine;
    let none = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let forgeries = [
        String::new(),
        "x".to_owned(),
        format!("{head}.{claims}."),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{head}.{claims}.{}", signature.chars().rev().collect::<String>()),
        format!("{token}.{token}"),
    ];
    world.client().get("/api/orders").send().await.expect_problem(401, "unauthorized");
    for forged in forgeries {
        let response = world
            .client()
            .get("/api/orders")
            .header("authorization", &format!("Bearer {forged}"))
            .send()
            .await;
        response.expect_problem(401, "unauthorized");
    }
    // The operator is no shopper.
    let operator = world.seller().client().clone();
    operator.get("/api/orders").send().await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn one_address_may_open_only_so_many_sessions_a_minute() {
    let world = World::builder().set("rate_limits", "on").set("sessions_per_minute", 5).start().await;
    let mut refused = None;
    // The minute may turn once while we ask; one more than twice the allowance is too many in any case.
    for _ in 0..11 {
        let response = world.client().post("/api/session").send().await;
        match response.status {
            201 => {}
            _ => {
                refused = Some(response);
                break;
            }
        }
    }
    let problem = refused.expect("the limit is enforced").expect_problem(429, "rate-limited");
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|pause| pause <= 60_000), "{problem}");
}

#[tokio::test]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let world = World::builder().set("rate_limits", "on").set("sessions_per_minute", 3).start().await;
    let mut refused = 0;
    for number in 0..7 {
        let forged = format!("203.0.113.{number}");
        let response = world.client().post("/api/session").header("x-forwarded-for", &forged).send().await;
        refused += usize::from(response.status == 429);
    }
    assert!(refused > 0, "a forged X-Forwarded-For opened sessions without end");
}
