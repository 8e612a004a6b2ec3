//! What a reservation costs.

use crate::shop::Shop;
use sale::ids::{Tail, UserId};
use sale::rules::LaneRules;
use sale::scripts::{ChallengeUse, Reserved, Wish};
use testkit::Connection;

/// Bytes that Redis has allocated, once what it freed is given back.
async fn used_memory(redis: &Connection) -> i64 {
    redis.command("MEMORY", &["PURGE"]).await;
    let info = redis.texts("INFO", &["memory"]).await.remove(0);
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

/// Bytes that differ in every place, as random ones would.
fn bytes<const COUNT: usize>(seed: usize) -> [u8; COUNT] {
    let mut state = seed as u64 + 1;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
}

#[tokio::test]
async fn a_reservation_costs_at_most_four_hundred_bytes_with_its_challenge() {
    const SHOPPERS: usize = 20_000;
    for (units, what) in [(100, "sold out"), (SHOPPERS as i64, "held")] {
        let shop = Shop::with(units, |terms| {
            terms.rules.rules = LaneRules {
                tries_per_ten_seconds: 10,
                address_tries_per_ten_seconds: 60,
                queue_factor: 1_000_000,
                ..LaneRules::NONE
            };
        })
        .await;
        let before = used_memory(&shop.redis).await;
        for n in 0..SHOPPERS {
            let user = UserId::guest(bytes(n));
            // Everybody from an address of their own, which is the worst.
            let address = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            // Twelve characters, as the ids of challenges are.
            let challenge = ChallengeUse {
                id: Tail::random(bytes(n + SHOPPERS)).as_str().to_owned(),
                expires_at: shop.now().plus_millis(60_000),
                answered: true,
            };
            let wish = Wish {
                user: &user,
                quantity: 1,
                tail: Tail::random(bytes(n)),
                challenge: Some(challenge),
                address: Some(&address),
            };
            let answer = shop.engine().reserve(&shop.lane, &wish).await.unwrap().outcome;
            assert!(matches!(answer, Reserved::Queued { .. }));
        }
        let peak = used_memory(&shop.redis).await - before;
        // The buckets of addresses lapse by themselves within twenty seconds.
        shop.redis.command("DEL", &shop.keys.callers().each_ref().map(String::as_str)).await;
        let buckets = before + peak - used_memory(&shop.redis).await;
        sale::work::drain(&shop.engine(), &shop.lane, 1_000).await.unwrap();
        let after = used_memory(&shop.redis).await - before;
        let each = |bytes: i64| bytes / SHOPPERS as i64;
        println!("a bucket costs {} bytes", each(buckets));
        println!("a reservation costs {} bytes while queued, {} once {what}", each(peak), each(after));
        assert!(each(peak) <= 400 && each(after) <= 400);
        assert!(each(buckets) <= 64);
        assert_eq!(shop.view().await.waiting, 0);
    }
}
