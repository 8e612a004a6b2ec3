//! What a reservation costs, and what a sale leaves.

use crate::shop::{ENDS, PAY_MS, PRICE, RETENTION_MS, Shop, contact, terms};
use futures::future::join_all;
use sale::Engine;
use sale::ids::{Tail, UserId};
use sale::rules::LaneRules;
use sale::scripts::{
    ChallengeUse, CheckedOut, PaymentOpened, PaymentOutcome, Purged, Released, Reserved, Settled, Wish,
};
use testkit::Connection;

/// Bytes that Redis has allocated, once what it freed is given back.
pub async fn used_memory(redis: &Connection) -> i64 {
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

/// One sale from its publication to its purge. Of each five shoppers who get a unit, three pay, one gives it back and one lets
/// it lapse.
async fn sell(shop: &Shop, connections: &[Connection], shoppers: usize, units: i64) {
    let mut terms = terms();
    terms.rules.rules = LaneRules {
        tries_per_ten_seconds: 10,
        address_tries_per_ten_seconds: 60,
        queue_factor: 100,
        ..LaneRules::NONE
    };
    shop.engine().publish(&shop.lane, units, &terms).await.unwrap();
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    let copy_all = async || {
        loop {
            let entries = shop.engine().read_outbox(&shop.lane, 1_000).await.unwrap();
            let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
            if ids.is_empty() {
                return;
            }
            shop.engine().acknowledge(&shop.lane, &ids).await.unwrap();
        }
    };
    let everybody: Vec<usize> = (0..shoppers).collect();
    for some in everybody.chunks(1_000) {
        let one = async |(n, redis): (&usize, &Connection)| {
            let user = UserId::guest(bytes(*n));
            let address = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            let challenge = ChallengeUse {
                id: Tail::random(bytes(n + shoppers)).as_str().to_owned(),
                expires_at: shop.now().plus_millis(60_000),
                answered: true,
            };
            let tail = Tail::random(bytes(*n));
            let wish =
                Wish { user: &user, quantity: 1, tail, challenge: Some(challenge), address: Some(&address) };
            let engine = Engine::at(redis, shop.now());
            match engine.reserve(&shop.lane, &wish).await.unwrap().outcome {
                Reserved::Queued { id, .. } => Some((*n, user, id)),
                Reserved::SoldOut { .. } => None,
                other => panic!("{other:?}"),
            }
        };
        let queued = join_all(some.iter().zip(connections.iter().cycle()).map(one)).await;
        sale::work::drain(&shop.engine(), &shop.lane, 1_000).await.unwrap();
        let two = async |((n, user, id), redis)| {
            let (n, engine): (usize, _) = (n, Engine::at(redis, shop.now()));
            match (n % 5, engine.checkout(&id, &user, &contact()).await.unwrap()) {
                (_, CheckedOut::Conflict(_)) => {}
                (0, CheckedOut::Made(order)) => {
                    assert!(matches!(
                        engine.cancel(&order.id, &user).await.unwrap(),
                        sale::scripts::Cancelled::Done(_)
                    ));
                }
                (1, CheckedOut::Made(_)) => {}
                (_, CheckedOut::Made(order)) => {
                    let PaymentOpened::New(order) = engine.pay(&order.id, &user).await.unwrap() else {
                        panic!()
                    };
                    let payment = order.payment.unwrap().0;
                    let settled = engine.settle(&payment, PaymentOutcome::Succeeded, PRICE).await.unwrap();
                    assert!(matches!(settled, Settled::Moved(_)));
                }
                (_, other) => panic!("{other:?}"),
            }
            let released = engine.release(&id, &user).await.unwrap();
            assert!(!matches!(released, Released::NotFound));
        };
        join_all(queued.into_iter().flatten().zip(connections.iter().cycle()).map(two)).await;
        copy_all().await;
    }
    shop.advance(PAY_MS);
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    copy_all().await;
    shop.set_now(ENDS + RETENTION_MS);
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(shop.engine().purge(&shop.lane).await.unwrap(), Purged::Done);
    // Buckets of callers and used challenges go by Redis's own clock, which a test can't move.
    for key in shop.redis.texts("KEYS", &["*"]).await {
        let left = shop.redis.number("PTTL", &[&key]).await;
        assert!((1..=600_000).contains(&left), "{key} goes in {left} ms");
        shop.redis.command("DEL", &[&key]).await;
    }
    shop.set_now(crate::shop::NOW);
}

#[tokio::test]
async fn a_sale_of_a_hundred_thousand_shoppers_leaves_redis_as_it_was() {
    let shop = Shop::empty().await;
    let connections = shop.server.connect_many(8).await;
    // A small sale first: Redis has the scripts and the connections' buffers then.
    sell(&shop, &connections, 1_000, 100).await;
    let before = settled_memory(&shop).await;
    sell(&shop, &connections, 100_000, 20_000).await;
    let after = settled_memory(&shop).await;
    // The buffers of connections and Redis's own tables differ by some kilobytes. The sale itself had tens of megabytes.
    assert!((after - before).abs() < 1 << 20, "{before} bytes before, {after} after");
}

/// The memory in use, once Redis has freed in the background what was unlinked.
async fn settled_memory(shop: &Shop) -> i64 {
    testkit::eventually("Redis has freed everything", std::time::Duration::from_secs(20), async || {
        let info = shop.redis.texts("INFO", &["memory"]).await.remove(0);
        info.contains("lazyfree_pending_objects:0").then_some(())
    })
    .await;
    used_memory(&shop.redis).await
}
