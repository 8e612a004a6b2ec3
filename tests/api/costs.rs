use std::time::Instant;

use serde_json::json;
use stampede_tests::{Client, ItemTerms, World};

/// What Redis has done and holds.
struct Redis {
    /// Commands that were called, those in scripts included.
    commands: i64,
    keys: i64,
    bytes: i64,
}

impl Redis {
    async fn of(world: &World) -> Redis {
        let information: String = world.redis.command(&["INFO", "commandstats", "keyspace", "memory"]).await;
        let number = |text: &str| text.split(',').next().unwrap().trim().parse::<i64>().unwrap();
        let mut redis = Redis { commands: 0, keys: 0, bytes: 0 };
        // These are our own question, and what hosts and Redis do all the time.
        let ours = ["cmdstat_info", "cmdstat_ping", "cmdstat_client|setinfo", "cmdstat_hello"];
        for line in information.lines() {
            if let Some((command, calls)) = line.split_once(":calls=") {
                redis.commands += if ours.contains(&command) { 0 } else { number(calls) };
            } else if let Some((_, keys)) = line.split_once(":keys=") {
                redis.keys += number(keys);
            } else if let Some(bytes) = line.strip_prefix("used_memory_dataset:") {
                redis.bytes = number(bytes);
            }
        }
        redis
    }
}

/// An id that nobody has: `number` in the characters that ids have.
fn made_up(prefix: char, number: usize) -> String {
    let digits: String =
        (0..10).map(|place| char::from(b'a' + ((number >> (2 * place)) & 3) as u8)).collect();
    format!("{prefix}{digits}")
}

#[tokio::test]
async fn made_up_ids_cost_the_public_no_command_and_nobody_any_memory() {
    // Without workers, whose commands would be counted as well, and with allowances as they are shipped, but for the one of
    // the address that all of this test comes from.
    let settings = World::builder().set("rate_limits", "on").set("sessions_per_minute", 10_000).unchecked();
    let (world, item) = settings.set("captcha_kind", "off").without_doorbells().selling(3).await;
    let shopper = world.shopper().await;
    let flood = async |client: &Client, paths: &[&str], count: usize| {
        for number in 0..count {
            let id = made_up('i', number);
            for path in paths {
                let path = path.replace("{item}", &id).replace("{sale}", &made_up('s', number));
                let response = client.get(&path).send().await;
                assert!(matches!(response.status, 401 | 404), "{path}: {response}");
            }
        }
    };
    let stranger = world.client();
    let public = ["/api/items/{item}", "/api/sales/{sale}"];
    let private = ["/api/reservations/r-{item}-0-222222222222", "/api/orders/o-{item}-0-222222222222"];
    stranger.get(&format!("/api/items/{}", item.id)).send().await.expect(200);
    flood(&stranger, &public, 10).await;

    let (before, begun) = (Redis::of(&world).await, Instant::now());
    flood(&stranger, &public, 500).await;
    // Without a session, Redis is not asked for anybody's reservation or order.
    flood(&stranger, &private, 100).await;
    let after = Redis::of(&world).await;
    // The list of what exists is renewed by one script, which reads one number, at most once a second and host.
    let renewals = i64::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    let commands = after.commands - before.commands;
    assert!(commands <= 2 * renewals, "{commands} commands for 1,200 made-up ids in {renewals} renewals");
    assert!(after.keys <= before.keys, "{} keys more", after.keys - before.keys);

    // With a session, each costs a look that writes nothing.
    let presume = async |count: usize| {
        flood(shopper.client(), &private, count).await;
        for number in 0..count {
            let id = made_up('i', number);
            for path in [format!("/api/items/{id}/reservations"), format!("/api/items/{id}/challenges")] {
                let response = shopper.client().post(&path).json(&json!({ "quantity": 1 })).send().await;
                assert!((400..500).contains(&response.status), "{path}: {response}");
            }
            let path = format!("/api/reservations/r-{id}-0-222222222222");
            shopper.client().delete(&path).send().await.expect_problem(404, "not-found");
        }
    };
    // Redis keeps each script that it has seen.
    presume(2).await;
    let before = Redis::of(&world).await;
    presume(300).await;
    let after = Redis::of(&world).await;
    assert!(after.keys <= before.keys, "{} keys more", after.keys - before.keys);
    let grown = after.bytes - before.bytes;
    assert!(grown < 64 * 1024, "{grown} bytes for 1,500 made-up ids");
}

#[tokio::test]
async fn lists_and_items_cost_redis_the_same_with_three_items_and_with_thirty() {
    let world = World::builder().without_doorbells().start().await;
    let seller = world.seller();
    let first = seller.publish(&ItemTerms::of(3)).await;
    let shopper = world.shopper().await;
    let paths =
        ["/api/sales?page_size=2", "/api/sales?q=sprint&page_size=2", &format!("/api/items/{}", first.id)];
    for (more, wanted) in [(2, 3), (27, 30)] {
        for _ in 0..more {
            seller.publish(&ItemTerms::of(1)).await;
        }
        for path in paths {
            let (before, begun) = (Redis::of(&world).await.commands, Instant::now());
            for _ in 0..60 {
                shopper.client().get(path).send().await.expect(200);
            }
            let commands = Redis::of(&world).await.commands - before;
            // A page shows two items. A snapshot takes eight commands at most, those in scripts included. It is renewed twice a
            // second at most; two instances may do so at once. The list itself is renewed by two commands.
            let half_seconds = i64::try_from(begun.elapsed().as_millis() / 500).unwrap() + 1;
            let most = (2 * 8 + 2) * 2 * half_seconds;
            assert!(commands <= most, "{path} with {wanted} items: {commands} commands, and not {most}");
        }
        let before = Redis::of(&world).await.commands;
        for _ in 0..20 {
            assert!(shopper.orders().await.is_empty());
        }
        let commands = Redis::of(&world).await.commands - before;
        assert!(commands <= 20 * 2, "orders with {wanted} items: {commands} commands");
    }
}
