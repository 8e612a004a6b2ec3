//! Thousands at once, and the same thing at once, over many connections.

use crate::shop::{Shop, assert_sound, contact, terms, user};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sale::Engine;
use sale::ids::{ItemId, Lane, PaymentId, ReservationId, Tail};
use sale::item::{Mode, Terms};
use sale::reservation::ReservationState;
use sale::scripts::{
    ChallengeUse, CheckedOut, Granted, PaymentOpened, PaymentOutcome, Published, Reserved, Settled, Wish,
};
use sale::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::Connection;

fn clock() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

/// Terms of an item that is open now by Redis's own clock.
fn open_now() -> Terms {
    let now = clock();
    Terms { starts_at: now.plus_millis(-1_000), ends_at: now.plus_millis(3_600_000), ..terms() }
}

fn tail(number: usize) -> Tail {
    format!("{number:012}").parse().unwrap()
}

async fn reserve(
    redis: &Connection,
    lane: &Lane,
    name: &str,
    number: usize,
    challenge: Option<&str>,
) -> Reserved {
    let challenge = challenge.map(|id| ChallengeUse {
        id: id.to_owned(),
        expires_at: clock().plus_millis(60_000),
        answered: true,
    });
    let wish = Wish { user: &user(name), quantity: 1, tail: tail(number), challenge, address: None };
    Engine::new(redis).reserve(lane, &wish).await.unwrap().outcome
}

async fn drain(redis: &Connection, lane: &Lane) {
    while !sale::work::drain(&Engine::new(redis), lane, 4).await.unwrap().is_nothing() {}
}

#[tokio::test]
async fn seven_thousand_shoppers_get_a_hundred_units() {
    let shop = Shop::empty().await;
    Engine::new(&shop.redis).publish(&shop.lane, 100, &open_now()).await.unwrap();
    let connections = shop.server.connect_many(64).await;
    let answers = join_all((0..7_000).map(|n| {
        let (redis, lane) = (&connections[n % connections.len()], &shop.lane);
        async move {
            let answer = reserve(redis, lane, &format!("user-{n}"), n, Some(&format!("challenge-{n}"))).await;
            // Grants run among the reservations, as doorbells would have it.
            if n % 500 == 0 {
                drain(redis, lane).await;
            }
            answer
        }
    }))
    .await;
    drain(&shop.redis, &shop.lane).await;
    let admitted = answers.iter().filter(|answer| matches!(answer, Reserved::Queued { .. })).count();
    let refused =
        answers.iter().filter(|answer| matches!(answer, Reserved::SoldOut { available: 0 })).count();
    assert_eq!(admitted + refused, 7_000, "no other answer");
    let reservations = crate::shop::reservations(&shop.redis, &shop.keys).await;
    let count = |state| reservations.values().filter(|record| record.state == state).count();
    assert_eq!(count(ReservationState::Held), 100);
    assert_eq!(count(ReservationState::SoldOut), admitted - 100);

    let held: Vec<_> = reservations.iter().filter(|(_, r)| r.state == ReservationState::Held).collect();
    join_all(held.iter().enumerate().map(|(n, (tail, record))| {
        let (engine, lane) = (Engine::new(&connections[n % 64]), shop.lane.clone());
        async move {
            let id = ReservationId::new(lane, tail.parse().unwrap());
            let made = engine.checkout(&id, &user(&record.user), &contact()).await.unwrap();
            assert!(matches!(made, CheckedOut::Made(_)), "{made:?}");
        }
    }))
    .await;
    let audit = assert_sound(&shop.redis, &shop.lane).await;
    assert_eq!((audit.available, audit.held, audit.ordered), (0, 0, 100));
    assert_eq!(shop.redis.number("XLEN", &[&shop.keys.outbox()]).await, 1 + 100, "published, and ordered");
}

#[tokio::test]
async fn three_instant_items_under_three_crowds_do_not_disturb_each_other() {
    let shop = Shop::empty().await;
    let connections = shop.server.connect_many(32).await;
    let lanes: Vec<Lane> =
        (0..3).map(|n| Lane::first(format!("iabcdefgh0{n}").parse::<ItemId>().unwrap())).collect();
    for lane in &lanes {
        let terms = Terms { mode: Mode::Instant, ..open_now() };
        assert_eq!(Engine::new(&shop.redis).publish(lane, 50, &terms).await.unwrap(), Published::New);
    }
    let answers = join_all((0..3_000).map(|n| {
        let (redis, lane) = (&connections[n % 32], &lanes[n % 3]);
        async move { reserve(redis, lane, &format!("user-{n}"), n, None).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Reserved::Held { .. })).count(), 150);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Reserved::SoldOut { .. })).count(), 2_850);
    for lane in &lanes {
        let audit = assert_sound(&shop.redis, lane).await;
        assert_eq!((audit.held, audit.available), (50, 0));
    }
}

#[tokio::test]
async fn one_shopper_at_once_many_times_has_one_reservation() {
    let shop = Shop::empty().await;
    Engine::new(&shop.redis).publish(&shop.lane, 100, &open_now()).await.unwrap();
    let connections = shop.server.connect_many(64).await;
    for (name, times, base) in [("ann", 20, 0), ("bob", 1_000, 1_000)] {
        let answers = join_all((0..times).map(|n| {
            let (redis, lane) = (&connections[n % 64], &shop.lane);
            // Every request brings a challenge of its own.
            async move { reserve(redis, lane, name, base + n, Some(&format!("{name}-{n}"))).await }
        }))
        .await;
        let mut first = None;
        for answer in &answers {
            if let Reserved::Queued { id, .. } = answer {
                assert!(first.replace(id).is_none(), "admitted twice");
            }
        }
        let first = first.expect("admitted once");
        assert!(answers.iter().all(|answer| match answer {
            Reserved::Queued { id, .. } | Reserved::Existing { id, .. } => id == first,
            _ => false,
        }));
    }
    drain(&shop.redis, &shop.lane).await;
    let audit = assert_sound(&shop.redis, &shop.lane).await;
    assert_eq!((audit.reservations, audit.held), (2, 2));
}

#[tokio::test]
async fn one_challenge_at_once_many_times_admits_once() {
    let shop = Shop::empty().await;
    Engine::new(&shop.redis).publish(&shop.lane, 5_000, &open_now()).await.unwrap();
    let connections = shop.server.connect_many(64).await;
    let users = join_all((0..1_000).map(|n| {
        let (redis, lane) = (&connections[n % 64], &shop.lane);
        async move { reserve(redis, lane, &format!("user-{n}"), n, Some("shared")).await }
    }))
    .await;
    assert_eq!(users.iter().filter(|answer| matches!(answer, Reserved::Queued { .. })).count(), 1);
    assert_eq!(users.iter().filter(|answer| **answer == Reserved::ChallengeFailed).count(), 999);

    let same = join_all((0..1_000).map(|n| {
        let (redis, lane) = (&connections[n % 64], &shop.lane);
        async move { reserve(redis, lane, "same", 2_000 + n, Some("own")).await }
    }))
    .await;
    assert_eq!(same.iter().filter(|answer| matches!(answer, Reserved::Queued { .. })).count(), 1);
    assert_eq!(same.iter().filter(|answer| matches!(answer, Reserved::Existing { .. })).count(), 999);
    assert_sound(&shop.redis, &shop.lane).await;
}

#[tokio::test]
async fn two_of_every_worker_and_every_checkout_at_once_do_it_once() {
    let shop = Shop::empty().await;
    let terms = Terms { hold_ms: 300, ..open_now() };
    Engine::new(&shop.redis).publish(&shop.lane, 500, &terms).await.unwrap();
    let connections = shop.server.connect_many(16).await;
    let ids: Vec<ReservationId> = join_all((0..1_000).map(|n| {
        let (redis, lane) = (&connections[n % 16], &shop.lane);
        async move {
            match reserve(redis, lane, &format!("user-{n}"), n, None).await {
                Reserved::Queued { id, .. } => id,
                other => panic!("{other:?}"),
            }
        }
    }))
    .await;
    let granted = join_all((0..40).map(|n| {
        let (redis, lane) = (&connections[n % 16], &shop.lane);
        async move { Engine::new(redis).grant(lane, 50).await.unwrap() }
    }))
    .await;
    let (mut held, mut sold_out) = (0, 0);
    for answer in granted {
        let Granted::Drained { held: some, sold_out: others, .. } = answer else { panic!() };
        (held, sold_out) = (held + some, sold_out + others);
    }
    assert_eq!((held, sold_out), (500, 500));

    // Four checkouts of each of two hundred, against the alarm of the others, whose time is nearly over.
    let checkouts = join_all(ids.iter().enumerate().take(200).flat_map(|(n, id)| {
        let connections = &connections;
        (0..4).map(move |again| async move {
            let name = user(&format!("user-{n}"));
            Engine::new(&connections[(n + again) % 16]).checkout(id, &name, &contact()).await.unwrap()
        })
    }));
    let lapses = join_all((0..50).map(|n| {
        let (redis, lane) = (&connections[n % 16], &shop.lane);
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(10 * n as u64)).await;
            Engine::new(redis).lapse(lane, 30).await.unwrap().unwrap().holds
        }
    }));
    let (checkouts, mut lapsed): (_, Vec<u64>) = tokio::join!(checkouts, lapses);
    let made = checkouts.iter().filter(|answer| matches!(answer, CheckedOut::Made(_))).count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while made as u64 + lapsed.iter().sum::<u64>() < 500 {
        assert!(std::time::Instant::now() < deadline, "{made} made, {lapsed:?} lapsed");
        let (one, two) = (Engine::new(&connections[0]), Engine::new(&connections[1]));
        let both = tokio::join!(sale::work::lapse(&one, &shop.lane), sale::work::lapse(&two, &shop.lane));
        lapsed.push(both.0.unwrap().expired + both.1.unwrap().expired);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(lapsed.iter().sum::<u64>(), 500 - made as u64, "each returned once");
    let audit = assert_sound(&shop.redis, &shop.lane).await;
    assert_eq!((audit.held, audit.ordered, audit.available), (0, made as i64, 500 - made as i64));
    assert_eq!(shop.redis.number("XLEN", &[&shop.keys.outbox()]).await, 1 + made as i64);
}

#[tokio::test]
async fn giving_back_races_the_grant() {
    let shop = Shop::empty().await;
    Engine::new(&shop.redis).publish(&shop.lane, 100, &open_now()).await.unwrap();
    let connections = shop.server.connect_many(16).await;
    let mut ids = Vec::new();
    for n in 0..400 {
        match reserve(&shop.redis, &shop.lane, &format!("user-{n}"), n, None).await {
            Reserved::Queued { id, .. } => ids.push(id),
            other => panic!("{other:?}"),
        }
    }
    let releases = join_all(ids.iter().enumerate().filter(|(n, _)| n % 2 == 0).map(|(n, id)| {
        let redis = &connections[n % 16];
        async move { Engine::new(redis).release(id, &user(&format!("user-{n}"))).await.unwrap() }
    }));
    let grants = join_all((0..80).map(|n| {
        let (redis, lane) = (&connections[n % 16], &shop.lane);
        async move { Engine::new(redis).grant(lane, 5).await.unwrap() }
    }));
    tokio::join!(grants, releases);
    assert_sound(&shop.redis, &shop.lane).await;
    drain(&shop.redis, &shop.lane).await;
    let audit = assert_sound(&shop.redis, &shop.lane).await;
    assert_eq!((audit.counted_queued, audit.queue_length), (0, 0));
    assert!(audit.held <= 100);
}

/// What may happen to an order at the same moment.
#[derive(Debug, Clone, Copy)]
enum Race {
    Cancel,
    Succeed,
    Fail,
    Lapse,
    Pay,
    Reserve,
}

#[tokio::test]
async fn cancelling_paying_and_lapsing_race_a_thousand_times() {
    let shop = Shop::empty().await;
    let connections = shop.server.connect_many(8).await;
    // A deadline within the race: each order is due some milliseconds after it was made.
    let mut runner = TestRunner::deterministic();
    let races = proptest::collection::vec(
        (
            proptest::collection::vec(
                prop_oneof![
                    Just(Race::Cancel),
                    Just(Race::Succeed),
                    Just(Race::Fail),
                    Just(Race::Lapse),
                    Just(Race::Pay),
                    Just(Race::Reserve)
                ],
                2..10,
            ),
            1..6i64,
        ),
        1_000,
    )
    .new_tree(&mut runner)
    .unwrap()
    .current();
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for (number, (steps, pay_ms)) in races.into_iter().enumerate() {
        let lane = Lane::first(format!("i{number:010}").parse().unwrap());
        let terms = Terms { mode: Mode::Instant, pay_ms, ..open_now() };
        let engine = Engine::new(&shop.redis);
        engine.publish(&lane, 1, &terms).await.unwrap();
        let Reserved::Held { id, .. } = reserve(&shop.redis, &lane, "ann", 0, None).await else { panic!() };
        let CheckedOut::Made(order) = engine.checkout(&id, &user("ann"), &contact()).await.unwrap() else {
            panic!()
        };
        if let PaymentOpened::Conflict(state) = engine.pay(&order.id, &user("ann")).await.unwrap() {
            assert_eq!(state.as_str(), "timed_out");
        }
        join_all(steps.iter().enumerate().map(|(n, step)| {
            let (redis, lane, order) = (&connections[n % 8], &lane, &order.id);
            let engine = Engine::new(redis);
            async move {
                let payment = PaymentId { order: order.clone(), attempt: 1 };
                let amount = crate::shop::PRICE;
                match step {
                    Race::Cancel => drop(engine.cancel(order, &user("ann")).await.unwrap()),
                    Race::Succeed => {
                        let answer =
                            engine.settle(&payment, PaymentOutcome::Succeeded, amount).await.unwrap();
                        assert!(!matches!(answer, Settled::WrongAmount { .. }));
                    }
                    Race::Fail => {
                        drop(engine.settle(&payment, PaymentOutcome::Failed, amount).await.unwrap())
                    }
                    Race::Lapse => drop(engine.lapse(lane, 1).await.unwrap()),
                    Race::Pay => drop(engine.pay(order, &user("ann")).await.unwrap()),
                    Race::Reserve => {
                        reserve(redis, lane, if n % 2 == 0 { "ann" } else { "bob" }, n + 1, None).await;
                    }
                }
                // In the middle of the race as well: each script leaves everything true.
                let audit = engine.audit(lane, 100_000).await.unwrap().unwrap();
                assert_eq!(audit.differences(), Vec::<String>::new(), "after {step:?}");
                assert!(audit.sold <= 1 && audit.total == 1);
            }
        }))
        .await;
        assert_sound(&shop.redis, &lane).await;
        let (end, _) = engine.order(&order.id, None).await.unwrap().unwrap();
        *ends.entry(end.state.as_str().to_owned()).or_default() += 1;
    }
    // The races went every way.
    for state in ["unpaid", "paid", "cancelled", "timed_out", "refund_due"] {
        assert!(ends.contains_key(state), "{ends:?}");
    }
}
