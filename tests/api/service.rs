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
