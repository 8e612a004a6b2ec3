//! Redis loses scripts, keys or memory while a sale goes on.

use crate::shop::{HOLD_MS, Shop, contact, user};
use sale::allowance::Counted;
use sale::reservation::ReservationState;
use sale::scripts::{CheckedOut, EngineError, PaymentOutcome, Reserved};
use sale::store::{Redis, RedisError};
use testkit::{AppendOnly, RedisServer};

#[tokio::test]
async fn with_the_script_cache_flushed_before_every_step_everything_goes_on() {
    let shop = Shop::open(2).await;
    let flush = async || {
        shop.redis.command("SCRIPT", &["FLUSH"]).await;
    };
    flush().await;
    let id = shop.queued("ann").await;
    flush().await;
    shop.grant().await;
    flush().await;
    assert_eq!(shop.state(&id, "ann").await, ReservationState::Held);
    flush().await;
    let order = shop.checked_out(&id, "ann").await;
    flush().await;
    let payment = shop.payment(&order.id, "ann").await;
    flush().await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    flush().await;
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    flush().await;
    let entries = shop.engine().read_outbox(&shop.lane, 10).await.unwrap();
    assert_eq!(entries.len(), 3);
    flush().await;
    shop.assert_sound().await;
    assert_eq!(shop.counters().await, [1, 0, 0, 1]);
}

#[tokio::test]
async fn a_crowd_goes_on_while_the_script_cache_is_flushed_again_and_again() {
    let shop = Shop::open(300).await;
    let connections = shop.server.connect_many(8).await;
    let reserve = async |n: usize| {
        let wish = sale::scripts::Wish {
            user: &user(&format!("user-{n}")),
            quantity: 1,
            tail: format!("{n:012}").parse().unwrap(),
            challenge: None,
            address: None,
        };
        if n.is_multiple_of(50) {
            connections[0].command("SCRIPT", &["FLUSH"]).await;
        }
        sale::Engine::at(&connections[n % 8], shop.now()).reserve(&shop.lane, &wish).await.unwrap().outcome
    };
    futures::future::join_all((0..1_000).map(reserve)).await;
    sale::work::drain(&shop.engine(), &shop.lane, 10).await.unwrap();
    assert_eq!(shop.counters().await, [0, 300, 0, 0]);
    assert_eq!(shop.assert_sound().await.reservations, 1_000);
}

#[tokio::test]
async fn a_script_is_loaded_once_and_called_by_its_name_from_then_on() {
    let shop = Shop::open(1_000).await;
    for n in 0..50 {
        shop.queued(&format!("user-{n}")).await;
    }
    let statistics = shop.redis.texts("INFO", &["commandstats"]).await.remove(0);
    let calls = |command: &str| -> u32 {
        let line =
            statistics.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:calls="))).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(calls("eval"), 3, "publish, lapse and reserve");
    assert_eq!(calls("evalsha"), 52);
}

#[tokio::test]
async fn an_alarm_key_that_was_lost_is_set_again_by_the_next_step() {
    let shop = Shop::open(2).await;
    let id = shop.held("ann").await;
    assert_eq!(shop.redis.number("DEL", &[&shop.keys.alarm()]).await, 1);
    shop.held("bob").await;
    shop.assert_alarm_in(500).await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    shop.engine().release(&id, &user("ann")).await.unwrap();
    shop.assert_alarm_in(HOLD_MS).await;
}

#[tokio::test]
async fn a_lost_alarm_of_a_sold_out_item_is_set_again_by_the_next_who_asks() {
    let shop = Shop::open(1).await;
    shop.held("ann").await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    assert_eq!(shop.reserve("bob", 1).await, Reserved::SoldOut { available: 0 });
    shop.assert_alarm_in(HOLD_MS).await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    shop.advance(2 * HOLD_MS);
    let mut alarms = shop.server.listen(&["__keyevent@0__:expired"]).await;
    assert_eq!(shop.reserve("bob", 1).await, Reserved::SoldOut { available: 0 });
    // It should have lapsed long ago, so it does at once.
    let (_, key) = alarms.next(std::time::Duration::from_secs(3)).await.expect("the alarm lapses");
    assert_eq!(key, shop.keys.alarm());
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert!(matches!(shop.reserve("bob", 1).await, Reserved::Queued { .. }));
}

#[tokio::test]
async fn records_without_their_lane_are_refused_before_anything_is_written() {
    let shop = Shop::open(5).await;
    let payment = shop.paying("ann").await;
    let order = payment.order.clone();
    let due = shop.paying("due").await;
    shop.engine().cancel(&due.order, &user("due")).await.unwrap();
    shop.settled(&due, PaymentOutcome::Succeeded).await;
    let held = shop.held("bob").await;
    shop.redis.command("DEL", &[&shop.keys.lane()]).await;
    let engine = shop.engine();
    let dump = async || {
        let mut all = Vec::new();
        for key in [shop.keys.reservations(), shop.keys.users(), shop.keys.orders()] {
            all.push(crate::shop::records(&shop.redis, &key).await);
        }
        all
    };
    let before = dump().await;
    let refused = |name: &str, error: Option<EngineError>| {
        let told = matches!(&error, Some(EngineError::Redis(RedisError::Refused(text))) if text.contains("without their lane"));
        assert!(told, "{name}: {error:?}");
    };
    refused("poll", engine.poll(&held, &user("bob"), true).await.err());
    refused("release", engine.release(&held, &user("bob")).await.err());
    refused("checkout", engine.checkout(&held, &user("bob"), &contact()).await.err());
    refused("cancel", engine.cancel(&order, &user("ann")).await.err());
    refused("pay", engine.pay(&order, &user("ann")).await.err());
    refused("settle", engine.settle(&payment, PaymentOutcome::Succeeded, crate::shop::PRICE).await.err());
    refused("refund", engine.refund(&due.order).await.err());
    assert_eq!(dump().await, before);
    assert_eq!(shop.redis.number("EXISTS", &[&shop.keys.lane()]).await, 0, "and no half a lane is made");
}

#[tokio::test]
async fn with_redis_out_of_memory_a_step_is_refused_as_a_whole_and_money_still_counts() {
    let shop = Shop::open(5).await;
    let payment = shop.paying("ann").await;
    let held = shop.held("bob").await;
    shop.queued("cat").await;
    shop.redis.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    let engine = shop.engine();
    let before = shop.counters().await;
    let wish = sale::scripts::Wish {
        user: &user("dan"),
        quantity: 1,
        tail: shop.tail(),
        challenge: Some(shop.challenge("c", true)),
        address: None,
    };
    let unavailable = |error: Option<EngineError>| {
        assert!(matches!(error, Some(EngineError::Redis(RedisError::Unavailable(_)))), "{error:?}");
    };
    unavailable(engine.reserve(&shop.lane, &wish).await.err());
    unavailable(engine.grant(&shop.lane, 10).await.err());
    unavailable(engine.checkout(&held, &user("bob"), &contact()).await.err());
    unavailable(engine.release(&held, &user("bob")).await.err());
    unavailable(engine.settle(&payment, PaymentOutcome::Succeeded, crate::shop::PRICE).await.err());
    unavailable(engine.cancel(&payment.order, &user("ann")).await.err());
    shop.advance(10 * HOLD_MS);
    unavailable(shop.engine().lapse(&shop.lane, 10).await.err());
    assert_eq!(shop.counters().await, before);
    shop.assert_sound().await;
    shop.redis.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    shop.grant().await;
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_a_binding_does_not_know_is_an_error() {
    let shop = Shop::open(5).await;
    let id = shop.queued("ann").await;
    let key = shop.keys.reservations();
    shop.redis.command("HSET", &[&key, id.tail.as_str(), "lost|ann|1"]).await;
    let answer = shop.engine().poll(&id, &user("ann"), true).await;
    assert!(matches!(answer, Err(EngineError::UnexpectedReply { script: "poll", .. })), "{answer:?}");
    assert!(
        shop.redis
            .execute("EVALSHA", &[b"0000000000000000000000000000000000000000", b"0"])
            .await
            .unwrap_err()
            .is_missing_script()
    );
}

#[tokio::test]
async fn with_redis_killed_in_the_middle_of_a_crowd_nothing_that_was_answered_is_lost() {
    let mut server = RedisServer::on_socket(AppendOnly::Always).await;
    let lane: sale::ids::Lane = "iabcdefghij:0".parse().unwrap();
    let now = sale::time::Timestamp::from_millis(crate::shop::NOW);
    let redis = server.connect().await;
    sale::Engine::at(&redis, now).publish(&lane, 500, &crate::shop::terms()).await.unwrap();
    let connections = server.connect_many(8).await;
    let answered = std::cell::Cell::new(0);
    let crowd = futures::future::join_all((0..2_000).map(|n| {
        let (engine, lane, answered) = (sale::Engine::at(&connections[n % 8], now), &lane, &answered);
        async move {
            let name = user(&format!("user-{n}"));
            let wish = sale::scripts::Wish {
                user: &name,
                quantity: 1,
                tail: format!("{n:012}").parse().unwrap(),
                challenge: None,
                address: None,
            };
            // Each shopper goes on as long as the server lives, and returns the last step that Redis confirmed.
            let Ok(Counted { outcome: Reserved::Queued { id, .. }, .. }) = engine.reserve(lane, &wish).await
            else {
                return None;
            };
            answered.set(answered.get() + 1);
            if engine.grant(lane, 1).await.is_err() {
                return Some((id, ReservationState::Queued));
            }
            match engine.checkout(&id, &name, &contact()).await {
                Ok(CheckedOut::Made(_)) => Some((id, ReservationState::Ordered)),
                _ => Some((id, ReservationState::Queued)),
            }
        }
    }));
    let killed = async {
        while answered.get() < 700 {
            tokio::task::yield_now().await;
        }
        server.restart().await;
    };
    let (told, ()) = tokio::join!(crowd, killed);
    assert!(told.iter().any(Option::is_none), "it was killed in the middle");

    let redis = server.connect().await;
    let audit = crate::shop::assert_sound(&redis, &lane).await;
    assert!(audit.reservations >= 700 && audit.available >= 0);
    let reservations = crate::shop::reservations(&redis, &sale::keys::LaneKeys::of(&lane)).await;
    for (id, state) in told.into_iter().flatten() {
        let kept = reservations.get(id.tail.as_str()).expect("admitted, so it is there").state;
        assert!(state == ReservationState::Queued || kept == state, "{id} was told {state:?}, is {kept:?}");
    }
    // And it goes on.
    let engine = sale::Engine::at(&redis, now);
    sale::work::drain(&engine, &lane, 100).await.unwrap();
    let events = engine.read_outbox(&lane, 1_000).await.unwrap().len() as i64;
    let audit = crate::shop::assert_sound(&redis, &lane).await;
    // The first tells that the lane was published.
    assert_eq!((audit.counted_queued, audit.ordered), (0, events - 1));
}
