use stampede_tests::World;

#[tokio::test]
async fn liveness_and_readiness_answer_each_for_what_it_needs() {
    let mut world = World::start().await;
    world.client().get("/healthz").send().await.expect(200);
    let ready = world.client().get("/readyz").send().await;
    ready.expect(200);

    world.redis.kill9();
    world.client().get("/healthz").send().await.expect(200);
    let unready = world.client().get("/readyz").send().await;
    assert_eq!(unready.status, 503, "{unready}");

    world.redis.restart().await;
    world.client().get("/readyz").insist().await.expect(200);
}

#[tokio::test]
async fn metrics_are_prometheus_text_about_what_is_on_sale() {
    let (world, item) = World::selling(7).await;
    let response = world.seller().client().get("/metrics").send().await;
    assert_eq!(response.status, 200, "{response}");
    assert!(response.header("content-type").unwrap().starts_with("text/plain"), "{response}");
    let text = String::from_utf8(response.body.clone()).unwrap();
    assert!(text.contains(&item.id), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "not a sample: {line}");
    }
}

#[tokio::test]
async fn with_a_token_for_the_metrics_only_its_bearers_and_the_operator_read_them() {
    let token = "a token for Prometheus";
    let (world, item) = World::builder().set("metrics_token", token).selling(1).await;
    let client = world.client();
    for reader in [client.bearing(token), world.seller().client().clone()] {
        let metrics = reader.get("/metrics").send().await;
        assert!(String::from_utf8(metrics.body.clone()).unwrap().contains(&item.id), "{metrics}");
    }
    client.get("/metrics").send().await.expect_problem(401, "unauthorized");
    let strangers = [
        client.bearing(""),
        client.bearing("a token for Prometheu"),
        client.bearing("a token for Prometheus2"),
        world.shopper().await.client().clone(),
    ];
    for stranger in strangers {
        stranger.get("/metrics").send().await.expect_problem(401, "unauthorized");
    }
    // The token of the metrics does an operator's work nowhere.
    client.bearing(token).post("/internal/tick").send().await.expect_problem(401, "unauthorized");
    client.bearing(token).get("/api/admin/log").send().await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn guesses_at_the_token_of_the_metrics_are_limited_like_those_at_the_operators() {
    let settings = World::builder().set("metrics_token", "a token for Prometheus").set("rate_limits", "on");
    let world = settings.set("operator_failures_per_minute", 3).start().await;
    let client = world.client();
    for guess in 0..3 {
        client
            .bearing(&format!("guess {guess}"))
            .get("/metrics")
            .send()
            .await
            .expect_problem(401, "unauthorized");
    }
    client.bearing("guess 3").get("/metrics").send().await.expect_problem(429, "rate-limited");
    client.bearing("guess 4").post("/internal/tick").send().await.expect_problem(429, "rate-limited");
    assert_eq!(client.bearing("a token for Prometheus").get("/metrics").send().await.status, 200);
}

#[tokio::test]
async fn a_token_for_the_metrics_that_is_easily_guessed_opens_nothing() {
    let world = World::builder().set("metrics_token", "short").start().await;
    for client in [world.client(), world.client().bearing("short"), world.seller().client().clone()] {
        client.get("/metrics").send().await.expect_problem(503, "unavailable");
    }
}

#[tokio::test]
async fn request_ids_are_taken_or_made_and_traces_go_on() {
    let world = World::start().await;
    let made = world.client().get("/api/sales").send().await;
    assert!(made.header("x-request-id").is_some_and(|id| id.len() >= 8), "{made}");

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = world.client().get("/api/sales").header("x-request-id", "checkout-4711");
    let taken = request.header("traceparent", trace).send().await;
    assert_eq!(taken.header("x-request-id"), Some("checkout-4711"));
    let parent = taken.header("traceparent").expect("the trace is returned");
    assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{parent}");

    // An id that could break a log line or a header is replaced.
    let request = world.client().get("/api/sales").header("x-request-id", &"x".repeat(5_000));
    let response = request.send().await;
    assert!(response.header("x-request-id").is_some_and(|id| id.len() <= 128), "{response}");
}

#[tokio::test]
async fn ticking_needs_the_operator() {
    let world = World::start().await;
    world.client().post("/internal/tick").send().await.expect_problem(401, "unauthorized");
    world.shopper().await.client().post("/internal/tick").send().await.expect_problem(401, "unauthorized");
    world.seller().tick().await;
}
