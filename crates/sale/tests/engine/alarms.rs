//! With nothing but Redis's own clock and channels, an alarm that lapses calls for all work that is due.

use crate::shop::{Shop, assert_sound, contact, terms, user};
use sale::Engine;
use sale::ids::{Lane, ReservationId};
use sale::item::Terms;
use sale::keys::{GRANT_DOORBELL, LEDGER_DOORBELL, lane_of_alarm};
use sale::order::OrderState;
use sale::reservation::ReservationState;
use sale::scripts::{CheckedOut, Polled, Reserved, Wish};
use sale::time::Timestamp;
use std::time::{Duration, Instant};
use testkit::{AppendOnly, Connection, Listener, RedisServer};

const LAPSED: &str = "__keyevent@0__:expired";
/// The engine promises a second; the other second is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

async fn clock(redis: &Connection) -> Timestamp {
    let time = redis.command("TIME", &[]).await;
    Timestamp::from_millis(time[0].int().unwrap() * 1_000 + time[1].int().unwrap() / 1_000)
}

async fn open(hold_ms: i64, pay_ms: i64) -> (Shop, Engine<Connection>) {
    let shop = Shop::empty().await;
    let now = clock(&shop.redis).await;
    let terms = Terms {
        starts_at: now.plus_millis(-1_000),
        ends_at: now.plus_millis(3_600_000),
        hold_ms,
        pay_ms,
        ..terms()
    };
    let engine = Engine::new(shop.redis.clone());
    engine.publish(&shop.lane, 10, &terms).await.unwrap();
    (shop, engine)
}

async fn state_of(engine: &Engine<Connection>, id: &ReservationId, name: &str) -> ReservationState {
    match engine.poll(id, &user(name), false).await.unwrap().outcome {
        Polled::Found(view) => view.state,
        other => panic!("{other:?}"),
    }
}

async fn reserve(shop: &Shop, engine: &Engine<Connection>, name: &str) -> ReservationId {
    let wish = Wish { user: &user(name), quantity: 1, tail: shop.tail(), challenge: None, address: None };
    match engine.reserve(&shop.lane, &wish).await.unwrap().outcome {
        Reserved::Queued { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// Waits for the next message of `lane`'s alarm.
async fn alarm(ears: &mut Listener, lane: &Lane, patience: Duration) {
    let (channel, key) = ears.next(patience).await.expect("the alarm lapses");
    assert_eq!((channel.as_str(), lane_of_alarm(&key).as_ref()), (LAPSED, Some(lane)));
}

#[tokio::test]
async fn a_queue_whose_doorbell_was_lost_is_rung_for_within_a_second() {
    let (shop, engine) = open(60_000, 60_000).await;
    let mut alarms = shop.server.listen(&[LAPSED]).await;
    // This ring is lost.
    let id = reserve(&shop, &engine, "ann").await;
    let since = Instant::now();
    alarm(&mut alarms, &shop.lane, PATIENCE).await;
    let mut bells = shop.server.listen(&[GRANT_DOORBELL]).await;
    sale::work::lapse(&engine, &shop.lane).await.unwrap();
    assert_eq!(bells.next(PATIENCE).await.unwrap().1, shop.lane.to_string());
    engine.grant(&shop.lane, 10).await.unwrap();
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    assert_eq!(state_of(&engine, &id, "ann").await, ReservationState::Held);
}

#[tokio::test]
async fn alarms_alone_return_holds_and_orders_and_then_rest() {
    let (shop, engine) = open(700, 1_400).await;
    let mut alarms = shop.server.listen(&[LAPSED]).await;
    let (ann, bob) = (reserve(&shop, &engine, "ann").await, reserve(&shop, &engine, "bob").await);
    engine.grant(&shop.lane, 10).await.unwrap();
    let CheckedOut::Made(order) = engine.checkout(&ann, &user("ann"), &contact()).await.unwrap() else {
        panic!()
    };
    let due = order.pay_by.plus_millis(2_000);
    let mut lapses = 0;
    loop {
        let (order, _) = engine.order(&order.id, None).await.unwrap().unwrap();
        if order.state == OrderState::TimedOut {
            break;
        }
        assert!(clock(&shop.redis).await < due, "not returned soon after its deadline");
        alarm(&mut alarms, &shop.lane, Duration::from_secs(3)).await;
        sale::work::lapse(&engine, &shop.lane).await.unwrap();
        lapses += 1;
    }
    assert_eq!(state_of(&engine, &bob, "bob").await, ReservationState::Expired);
    assert_eq!(assert_sound(&shop.redis, &shop.lane).await.available, 10);
    assert!(lapses <= 12, "{lapses} alarms: they must not run hot");

    // The outbox still waits for the ledger, so the alarm comes back about once a second; then not until the purge.
    alarm(&mut alarms, &shop.lane, Duration::from_secs(3)).await;
    let mut bells = shop.server.listen(&[LEDGER_DOORBELL]).await;
    sale::work::lapse(&engine, &shop.lane).await.unwrap();
    assert!(bells.next(PATIENCE).await.is_some());
    let left = shop.alarm_in().await;
    assert!((500..=1_000).contains(&left), "{left}");
    let entries = engine.read_outbox(&shop.lane, 10).await.unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
    engine.acknowledge(&shop.lane, &ids).await.unwrap();
    alarm(&mut alarms, &shop.lane, Duration::from_secs(3)).await;
    sale::work::lapse(&engine, &shop.lane).await.unwrap();
    assert!(shop.alarm_in().await > 3_600_000, "{}", shop.alarm_in().await);
}

#[tokio::test]
async fn a_hundred_lanes_are_never_forgotten_by_their_alarms() {
    let server = RedisServer::on_socket(AppendOnly::Off).await;
    let redis = server.connect().await;
    let engine = Engine::new(redis.clone());
    let now = clock(&redis).await;
    let mut alarms = server.listen(&[LAPSED]).await;
    let lanes: Vec<Lane> = (0..100).map(|n| Lane::first(format!("i{n:010}").parse().unwrap())).collect();
    let mut last = now;
    for (n, lane) in lanes.iter().enumerate() {
        let terms = Terms {
            starts_at: now.plus_millis(-1_000),
            ends_at: now.plus_millis(3_600_000),
            mode: sale::item::Mode::Instant,
            // Deadlines apart by odd milliseconds, so that alarms stand at every part of one.
            hold_ms: 300 + 7 * n as i64,
            ..terms()
        };
        engine.publish(lane, 3, &terms).await.unwrap();
        for at in 0..3 {
            let wish = Wish {
                user: &user(&format!("user-{at}")),
                quantity: 1,
                tail: format!("{at:012}").parse().unwrap(),
                challenge: None,
                address: None,
            };
            let Reserved::Held { deadline, .. } = engine.reserve(lane, &wish).await.unwrap().outcome else {
                panic!()
            };
            last = last.max(deadline);
        }
    }
    // The listener does just what an alarm calls for, at once. Nothing else ever looks.
    let mut returned = 0;
    while returned < 300 {
        assert!(clock(&redis).await < last.plus_millis(3_000), "{returned} of 300 holds returned");
        let Some((_, key)) = alarms.next(Duration::from_secs(5)).await else {
            panic!("{returned} of 300, and silence")
        };
        returned += sale::work::lapse(&engine, &lane_of_alarm(&key).unwrap()).await.unwrap().expired;
    }
    for lane in &lanes {
        assert_eq!(assert_sound(&redis, lane).await.available, 3);
    }
}

#[tokio::test]
async fn a_sale_leaves_redis_by_its_alarm() {
    let shop = Shop::empty().await;
    let mut alarms = shop.server.listen(&[LAPSED]).await;
    let now = clock(&shop.redis).await;
    let engine = Engine::new(shop.redis.clone());
    let terms = Terms {
        starts_at: now.plus_millis(-1_000),
        ends_at: now.plus_millis(100),
        retention_ms: 300,
        ..terms()
    };
    engine.publish(&shop.lane, 1, &terms).await.unwrap();
    shop.forget_events().await;
    engine.lapse(&shop.lane, 1).await.unwrap();
    sale::work::remember(&engine, &shop.lane).await.unwrap();
    alarm(&mut alarms, &shop.lane, Duration::from_secs(3)).await;
    assert_eq!(sale::work::lapse(&engine, &shop.lane).await.unwrap().purged, 1);
    assert!(shop.redis.command("KEYS", &["*"]).await.is_empty());
    assert!(sale::work::lanes(&engine).await.unwrap().is_empty());
}
