//! Every reply of `grant`, and the state that it leaves behind.

use crate::shop::{HOLD_MS, Shop, user};
use sale::item::Switch;
use sale::reservation::ReservationState;
use sale::scripts::{Granted, Overdue, PaymentOutcome, Reserved, StockChange};

fn drained(held: u64, sold_out: u64, rejected: u64, waiting: u64) -> Granted {
    Granted::Drained { decided: held + sold_out + rejected, held, sold_out, rejected, waiting }
}

#[tokio::test]
async fn the_queue_is_served_in_order_of_admission_batch_after_batch() {
    let shop = Shop::open(3).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(shop.queued(&format!("user-{n}")).await);
    }
    let grant = |most| {
        let engine = shop.engine();
        let lane = shop.lane.clone();
        async move { engine.grant(&lane, most).await.unwrap() }
    };
    assert_eq!(grant(2).await, drained(2, 0, 0, 6));
    assert_eq!(shop.poll(&ids[2], "user-2").await.pace.position, 1, "places move up");
    assert_eq!(grant(3).await, drained(1, 2, 0, 3));
    assert_eq!(grant(1000).await, drained(0, 3, 0, 0));
    assert_eq!(grant(1000).await, drained(0, 0, 0, 0));
    for (n, id) in ids.iter().enumerate() {
        let view = shop.poll(id, &format!("user-{n}")).await;
        let expected = if n < 3 { ReservationState::Held } else { ReservationState::SoldOut };
        assert_eq!((view.state, view.pace.position), (expected, 0));
        assert_eq!(view.deadline, (n < 3).then(|| shop.now().plus_millis(HOLD_MS)));
    }
    assert_eq!(shop.counters().await, [0, 3, 0, 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_wish_too_large_for_what_is_left_does_not_stop_a_smaller_one() {
    let shop = Shop::with(3, |terms| terms.per_user_limit = 3).await;
    let Reserved::Queued { id: first, .. } = shop.reserve("ann", 2).await else { panic!() };
    let Reserved::Queued { id: large, .. } = shop.reserve("bob", 2).await else { panic!() };
    let Reserved::Queued { id: small, .. } = shop.reserve("cat", 1).await else { panic!() };
    assert_eq!(shop.grant().await, drained(2, 1, 0, 0));
    assert_eq!(shop.state(&first, "ann").await, ReservationState::Held);
    assert_eq!(shop.state(&large, "bob").await, ReservationState::SoldOut);
    assert_eq!(shop.state(&small, "cat").await, ReservationState::Held);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shopper_who_was_told_sold_out_may_try_again() {
    let shop = Shop::open(1).await;
    shop.queued("ann").await;
    let first = shop.queued("bob").await;
    shop.grant().await;
    assert_eq!(shop.state(&first, "bob").await, ReservationState::SoldOut);
    shop.stock(StockChange::Add(1)).await;
    let second = shop.held("bob").await;
    assert_ne!(first, second);
    assert_eq!(shop.state(&first, "bob").await, ReservationState::SoldOut, "the first stays what it was");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_rejected_shopper_keeps_what_was_bought_before() {
    let shop = Shop::with(2, |terms| terms.per_user_limit = 2).await;
    let payment = shop.paying("ann").await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    shop.queued("ann").await;
    shop.queued("bob").await;
    shop.stock(StockChange::Total(1)).await;
    assert_eq!(shop.grant().await, drained(0, 2, 0, 0));
    shop.assert_sound().await;
    shop.stock(StockChange::Total(5)).await;
    assert_eq!(shop.reserve("ann", 2).await, Reserved::PurchaseLimit { limit: 2, taken: 1 });
    assert!(matches!(shop.reserve("bob", 2).await, Reserved::Queued { .. }));
}

#[tokio::test]
async fn a_paused_item_keeps_its_queue_and_asks_nobody_to_look() {
    let shop = Shop::open(1).await;
    let id = shop.queued("ann").await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.grant().await, Granted::Paused);
    shop.advance(10_000);
    let view = shop.poll(&id, "ann").await;
    assert_eq!(
        (view.state, view.pace.position, view.overdue),
        (ReservationState::Queued, 1, Overdue::default())
    );
    shop.engine().switch(&shop.lane, Switch::Open).await.unwrap();
    assert_eq!(shop.grant().await, drained(1, 0, 0, 0));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_closed_item_rejects_who_still_waits() {
    let shop = Shop::open(5).await;
    let held = shop.held("ann").await;
    let waiting = shop.queued("bob").await;
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    assert_eq!(shop.grant().await, drained(0, 0, 1, 0));
    assert_eq!(shop.state(&waiting, "bob").await, ReservationState::Rejected);
    assert_eq!(shop.state(&held, "ann").await, ReservationState::Held);
    // A hold from before stays good.
    shop.checked_out(&held, "ann").await;
    let series = shop.engine().series(&shop.lane).await.unwrap();
    assert_eq!(series[0].counts["rejected"], 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_place_that_was_given_back_is_passed_over() {
    let shop = Shop::open(1).await;
    let gone = shop.queued("ann").await;
    let next = shop.queued("bob").await;
    shop.engine().release(&gone, &user("ann")).await.unwrap();
    // Back again, at the end.
    let again = shop.queued("ann").await;
    assert_eq!(shop.poll(&again, "ann").await.pace.position, 3);
    assert_eq!(shop.grant().await, drained(1, 1, 0, 0));
    assert_eq!(shop.state(&gone, "ann").await, ReservationState::Released);
    assert_eq!(shop.state(&next, "bob").await, ReservationState::Held);
    assert_eq!(shop.state(&again, "ann").await, ReservationState::SoldOut);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_unknown_lane_is_not_found() {
    let shop = Shop::empty().await;
    assert_eq!(shop.grant().await, Granted::NotFound);
    assert!(shop.redis.command("KEYS", &["*"]).await.is_empty(), "and gets no keys");
}

#[tokio::test]
async fn the_alarm_moves_from_the_queue_to_the_first_hold() {
    let shop = Shop::open(2).await;
    shop.queued("ann").await;
    shop.assert_alarm_in(500).await;
    shop.grant().await;
    // The earlier alarm stays; when it lapses, the worker looks again.
    shop.assert_alarm_in(500).await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    shop.engine().lapse(&shop.lane, 100).await.unwrap();
    shop.assert_alarm_in(HOLD_MS).await;
}

#[tokio::test]
async fn a_drain_in_bounded_pieces_rings_for_the_rest() {
    use sale::keys::GRANT_DOORBELL;
    let shop = Shop::open(600).await;
    for n in 0..1_200 {
        shop.queued(&format!("user-{n}")).await;
    }
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    let mut done = sale::work::drain(&shop.engine(), &shop.lane, 1).await.unwrap();
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1);
    assert!(shop.view().await.waiting > 0);
    done.add(sale::work::drain(&shop.engine(), &shop.lane, 10).await.unwrap());
    assert_eq!((done.held, done.sold_out), (600, 600));
    assert_eq!(bell.heard(&shop.redis, "end").await, []);
    assert_eq!(sale::work::drain(&shop.engine(), &shop.lane, 10).await.unwrap(), Default::default());
    shop.assert_sound().await;
}
