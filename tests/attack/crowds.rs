use std::collections::BTreeMap;

use stampede_tests::{Shopper, World, crowd};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_from_one_address_are_limited_and_harm_nobody() {
    let (world, item) = World::builder()
        .set("rate_limits", "on")
        .set("sessions_per_minute", 60)
        .set("trust_proxy", "on")
        .unchecked()
        .selling(100)
        .await;
    let client = world.client();
    // Warm up first: the memory that the host keeps for any crowd is not the attacker's doing.
    crowd(500, 200, |_| client.get("/healthz").send()).await;
    let (host_before, redis_before) = (world.host.memory(), used_memory(&world).await);

    // Behind the proxy the attacker has one address. Claims of others do not count: in front in the same line, in lines of
    // their own, or in another spelling.
    let attack = crowd(10_000, 200, |number| {
        let forged = format!("10.{}.{}.{}", number % 250, number / 250 % 250, number % 7);
        let request = client.post("/api/session").header("forwarded", &format!("for={forged}"));
        let request = match number % 4 {
            0 => request.header("x-forwarded-for", "203.0.113.66"),
            1 => request.header("x-forwarded-for", &format!("{forged}, 203.0.113.66")),
            2 => request.header("x-forwarded-for", &forged).header("x-forwarded-for", "203.0.113.66"),
            _ => request.header("x-forwarded-for", "::ffff:203.0.113.66").header("x-real-ip", &forged),
        };
        request.send()
    });
    // Meanwhile people come, each from an address of their own, and buy.
    let people = crowd(60, 4, |number| {
        let (client, item) = (client.from_address(&format!("198.51.100.{number}")), item.clone());
        async move {
            let shopper = Shopper::arrive(&client).await;
            shopper.hold(&item).await["state"].clone()
        }
    });
    let (attack, people) = tokio::join!(attack, people);

    let mut statuses = BTreeMap::new();
    for response in &attack {
        *statuses.entry(response.status).or_insert(0) += 1;
        if response.status != 201 {
            response.expect_problem(429, "rate-limited");
        }
    }
    let minutes = 3;
    assert!((1..=60 * minutes).contains(&statuses[&201]), "{statuses:?}");
    assert!(people.iter().all(|state| state == "held"), "{people:?}");

    let grown = world.host.memory().saturating_sub(host_before);
    assert!(grown < 300 << 20, "the host grew by {grown} bytes");
    let grown = used_memory(&world).await.saturating_sub(redis_before);
    assert!(grown < 4 << 20, "Redis grew by {grown} bytes");
}

async fn used_memory(world: &World) -> u64 {
    let information: String = world.redis.command(&["INFO", "memory"]).await;
    let line = information.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}
