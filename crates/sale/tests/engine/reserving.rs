//! Every reply of `reserve`.

use crate::shop::{ENDS, HOLD_MS, NOW, STARTS, Shop, user};
use sale::item::{Mode, Switch};
use sale::keys::{CHALLENGE_WINDOW_MS, GRANT_DOORBELL};
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{ChallengeUse, Granted, PaymentOutcome, Reserved, StockChange};
use sale::time::Timestamp;

#[tokio::test]
async fn shoppers_are_queued_in_order_and_the_first_rings() {
    let shop = Shop::open(3).await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    for (name, place) in [("ann", 1), ("bob", 2), ("cat", 3), ("dan", 4)] {
        let Reserved::Queued { id, pace } = shop.reserve(name, 1).await else { panic!() };
        assert_eq!((pace.position, pace.waiting), (place, place));
        let view = shop.poll(&id, name).await;
        assert_eq!((view.state, view.quantity, view.pace.position), (ReservationState::Queued, 1, place));
        assert_eq!(view.deadline, None);
    }
    let heard = bell.heard(&shop.redis, "end").await;
    assert_eq!(heard, [(GRANT_DOORBELL.to_owned(), shop.lane.to_string())], "one ring when the queue fills");
    assert_eq!(shop.counters().await, [3, 0, 0, 0]);
    // If the ring is lost, the alarm finds the queue.
    shop.assert_alarm_in(500).await;
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_instant_item_decides_on_the_spot() {
    let shop = Shop::with(2, |terms| terms.mode = Mode::Instant).await;
    let Reserved::Held { id, deadline } = shop.reserve("ann", 1).await else { panic!() };
    assert_eq!(deadline.millis(), NOW + HOLD_MS);
    let view = shop.poll(&id, "ann").await;
    assert_eq!((view.state, view.deadline), (ReservationState::Held, Some(deadline)));
    assert_eq!(shop.counters().await, [1, 1, 0, 0]);
    shop.assert_alarm_in(HOLD_MS).await;
    assert!(matches!(shop.reserve("bob", 1).await, Reserved::Held { .. }));
    assert_eq!(shop.reserve("cat", 1).await, Reserved::SoldOut { available: 0 });
    let series = shop.engine().series(&shop.lane).await.unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!((series[0].counts["admitted"], series[0].counts["held"]), (2, 2));
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_instant_item_lets_nobody_overtake_those_who_wait() {
    let shop = Shop::open(2).await;
    let waiting = shop.queued("ann").await;
    let mut terms = crate::shop::terms();
    terms.mode = Mode::Instant;
    shop.engine().revise(&shop.lane, &terms).await.unwrap();
    let Reserved::Queued { pace, .. } = shop.reserve("bob", 1).await else { panic!() };
    assert_eq!(pace.position, 2);
    shop.grant().await;
    assert_eq!(shop.state(&waiting, "ann").await, ReservationState::Held);
    assert_eq!(shop.reserve("cat", 1).await, Reserved::SoldOut { available: 0 });
    shop.stock(StockChange::Add(1)).await;
    assert!(matches!(shop.reserve("cat", 1).await, Reserved::Held { .. }), "nobody waits any more");
    shop.assert_sound().await;
}

#[tokio::test]
async fn asking_again_gives_the_reservation_that_is_alive() {
    let shop = Shop::with(5, |terms| terms.per_user_limit = 3).await;
    let id = shop.queued("ann").await;
    shop.queued("bob").await;
    let hold_ms = HOLD_MS as u64;
    let pace = |position, waiting| Pace { position, waiting, hold_ms, ..Pace::default() };
    let existing =
        |state, pace, deadline| Reserved::Existing { id: id.clone(), state, quantity: 1, deadline, pace };
    assert_eq!(shop.reserve("ann", 2).await, existing(ReservationState::Queued, pace(1, 2), None));
    shop.grant().await;
    let deadline = Some(Timestamp::from_millis(NOW + HOLD_MS));
    assert_eq!(shop.reserve("ann", 1).await, existing(ReservationState::Held, pace(0, 0), deadline));
    shop.checked_out(&id, "ann").await;
    assert_eq!(shop.reserve("ann", 1).await, existing(ReservationState::Ordered, pace(0, 0), None));
    // The same wish is the same request, whatever has become of the item since.
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.reserve("ann", 1).await, existing(ReservationState::Ordered, pace(0, 0), None));
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    assert_eq!(shop.reserve("ann", 1).await, existing(ReservationState::Ordered, pace(0, 0), None));
    assert_eq!(shop.view().await.admitted, 2);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_existing_reservation_uses_no_challenge_up() {
    let shop = Shop::open(5).await;
    shop.queued("ann").await;
    let again = shop.reserve_answering("ann", 1, Some(shop.challenge("c1", true))).await;
    assert!(matches!(again, Reserved::Existing { .. }));
    let other = shop.reserve_answering("bob", 1, Some(shop.challenge("c1", true))).await;
    assert!(matches!(other, Reserved::Queued { .. }));
}

#[tokio::test]
async fn an_item_that_is_not_open_says_why() {
    let shop = Shop::empty().await;
    assert_eq!(shop.reserve("ann", 1).await, Reserved::NotFound);
    shop.engine().publish(&shop.lane, 5, &crate::shop::terms()).await.unwrap();

    shop.set_now(STARTS - 1);
    assert_eq!(
        shop.reserve("ann", 1).await,
        Reserved::NotStarted { starts_at: Timestamp::from_millis(STARTS) }
    );
    shop.set_now(STARTS);
    assert!(matches!(shop.reserve("ann", 1).await, Reserved::Queued { .. }));
    shop.set_now(ENDS - 1);
    assert!(matches!(shop.reserve("bob", 1).await, Reserved::Queued { .. }));
    shop.set_now(ENDS);
    assert_eq!(shop.reserve("cat", 1).await, Reserved::Ended);

    // The switch and the state that shoppers see agree at every time.
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    for (now, expected) in
        [(STARTS - 1, Reserved::Paused), (STARTS, Reserved::Paused), (ENDS, Reserved::Ended)]
    {
        shop.set_now(now);
        assert_eq!(shop.reserve("cat", 1).await, expected);
    }
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    for now in [STARTS - 1, STARTS, ENDS] {
        shop.set_now(now);
        assert_eq!(shop.reserve("cat", 1).await, Reserved::Ended);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn sold_out_tells_what_is_left() {
    let shop = Shop::with(3, |terms| terms.per_user_limit = 5).await;
    assert_eq!(shop.reserve("ann", 4).await, Reserved::SoldOut { available: 3 });
    shop.held("ann").await;
    assert_eq!(shop.reserve("bob", 3).await, Reserved::SoldOut { available: 2 });
    let Reserved::Queued { id, .. } = shop.reserve("bob", 2).await else { panic!() };
    shop.grant().await;
    assert_eq!(shop.state(&id, "bob").await, ReservationState::Held);
    assert_eq!(shop.reserve("cat", 1).await, Reserved::SoldOut { available: 0 });
    shop.assert_sound().await;
}

#[tokio::test]
async fn nobody_gets_more_than_the_cap() {
    let shop = Shop::with(10, |terms| terms.per_user_limit = 3).await;
    assert_eq!(shop.reserve("ann", 4).await, Reserved::PurchaseLimit { limit: 3, taken: 0 });
    let Reserved::Queued { id, .. } = shop.reserve("ann", 2).await else { panic!() };
    shop.grant().await;
    let order = shop.checked_out(&id, "ann").await;
    let payment = shop.payment(&order.id, "ann").await;
    shop.engine().settle(&payment, PaymentOutcome::Succeeded, 2 * crate::shop::PRICE).await.unwrap();
    assert_eq!(shop.reserve("ann", 2).await, Reserved::PurchaseLimit { limit: 3, taken: 2 });
    let second = shop.queued("ann").await;
    // Units that come back may be reserved again.
    shop.engine().release(&second, &user("ann")).await.unwrap();
    let third = shop.held("ann").await;
    shop.checked_out(&third, "ann").await;
    assert_eq!(shop.counters().await, [7, 0, 1, 2]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_queue_is_full_at_its_factor_and_never_falsely_sold_out() {
    let shop = Shop::with(2, |terms| terms.rules.rules.queue_factor = 2).await;
    for n in 0..4 {
        shop.queued(&format!("user-{n}")).await;
    }
    assert_eq!(shop.reserve("late", 1).await, Reserved::QueueFull);
    assert_eq!(
        shop.engine().grant(&shop.lane, 1).await.unwrap(),
        Granted::Drained { decided: 1, held: 1, sold_out: 0, rejected: 0, waiting: 3 }
    );
    let Reserved::Queued { pace, .. } = shop.reserve("late", 1).await else { panic!() };
    assert_eq!(pace.position, 4);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_challenge_is_used_up_right_or_wrong() {
    let shop = Shop::open(10).await;
    let right = |id| Some(shop.challenge(id, true));
    let wrong = |id| Some(shop.challenge(id, false));
    assert!(matches!(shop.reserve_answering("ann", 1, right("c1")).await, Reserved::Queued { .. }));
    assert_eq!(shop.reserve_answering("bob", 1, right("c1")).await, Reserved::ChallengeFailed);
    assert_eq!(shop.reserve_answering("bob", 1, wrong("c2")).await, Reserved::ChallengeFailed);
    assert_eq!(shop.reserve_answering("bob", 1, right("c2")).await, Reserved::ChallengeFailed);
    assert!(matches!(shop.reserve_answering("bob", 1, right("c3")).await, Reserved::Queued { .. }));
    assert_eq!(shop.view().await.admitted, 2);
    // A refusal for another reason does not use the challenge up.
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.reserve_answering("cat", 1, right("c4")).await, Reserved::Paused);
    shop.engine().switch(&shop.lane, Switch::Open).await.unwrap();
    assert!(matches!(shop.reserve_answering("cat", 1, right("c4")).await, Reserved::Queued { .. }));
    shop.assert_sound().await;
}

#[tokio::test]
async fn used_challenges_are_remembered_until_the_last_of_their_window_has_expired_whatever_the_clock_of_the_host_says()
 {
    let shop = Shop::open(10).await;
    let hour = 3_600_000;
    for (name, skew) in [("ann", -24 * hour), ("bob", -hour), ("cat", 0), ("dan", hour)] {
        let expires_at = shop.now().plus_millis(skew);
        let used = || Some(ChallengeUse { id: format!("of-{name}"), expires_at, answered: true });
        assert!(matches!(shop.reserve_answering(name, 1, used()).await, Reserved::Queued { .. }));
        assert_eq!(shop.reserve_answering("thief", 1, used()).await, Reserved::ChallengeFailed);
        let left = shop.redis.number("PTTL", &[&shop.keys.challenges(expires_at.millis())]).await;
        assert!(left > 2 * CHALLENGE_WINDOW_MS - 10_000 && left <= 2 * CHALLENGE_WINDOW_MS, "{left}");
    }
}

#[tokio::test]
async fn a_rehearsal_says_what_would_happen_and_changes_nothing() {
    let shop = Shop::open(2).await;
    let right = |id| Some(shop.challenge(id, true));
    let everything = async || {
        let mut keys = shop.redis.texts("KEYS", &["*"]).await;
        keys.sort();
        let mut contents = Vec::new();
        for key in keys {
            contents.push((shop.redis.command("DUMP", &[&key]).await, key));
        }
        contents
    };

    let before = everything().await;
    assert_eq!(shop.rehearse("ann", 1, right("c1")).await, None);
    assert_eq!(shop.rehearse("ann", 1, None).await, None);
    assert_eq!(everything().await, before);
    // The rehearsal did not use the challenge up, and made no reservation.
    assert!(matches!(shop.reserve_answering("ann", 1, right("c1")).await, Reserved::Queued { .. }));

    // A rehearsal refuses as the reservation would, and uses nothing up. A shopper with a reservation sees it.
    let before = everything().await;
    assert_eq!(shop.rehearse("bob", 1, right("c1")).await, Some(Reserved::ChallengeFailed));
    assert_eq!(
        shop.rehearse("bob", 3, right("c2")).await,
        Some(Reserved::PurchaseLimit { limit: 1, taken: 0 })
    );
    assert!(matches!(shop.rehearse("ann", 1, right("c2")).await, Some(Reserved::Existing { .. })));
    assert_eq!(everything().await, before);

    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.rehearse("cat", 1, right("c3")).await, Some(Reserved::Paused));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_rehearsal_of_an_instant_item_takes_no_unit() {
    let shop = Shop::with(1, |terms| terms.mode = Mode::Instant).await;
    assert_eq!(shop.rehearse("ann", 1, None).await, None);
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);
    assert!(matches!(shop.reserve("bob", 1).await, Reserved::Held { .. }));
    assert_eq!(shop.rehearse("ann", 1, None).await, Some(Reserved::SoldOut { available: 0 }));
}

#[tokio::test]
async fn large_numbers_are_kept_whole() {
    use sale::money::{Currency, Money};
    let shop = Shop::with(sale::item::MAX_STOCK, |terms| {
        terms.per_user_limit = sale::item::MAX_PER_USER;
        terms.price = Money::new(Money::MAX_AMOUNT, Currency::parse("IDR").unwrap());
        terms.ends_at = Timestamp::MAX;
        terms.hold_ms = 100_000_000_000_000;
        terms.pay_ms = 200_000_000_000_000;
        terms.retention_ms = 1_000_000_000_000;
    })
    .await;
    shop.redis
        .command("HSET", &[&shop.keys.lane(), "admitted", "999999999999", "drained", "999999999999"])
        .await;
    let Reserved::Queued { id, pace } = shop.reserve("ann", 1000).await else { panic!() };
    assert_eq!(pace.position, 1);
    shop.grant().await;
    assert_eq!(shop.poll(&id, "ann").await.deadline, Some(shop.now().plus_millis(100_000_000_000_000)));
    let order = shop.checked_out(&id, "ann").await;
    assert_eq!(order.total().amount, 1_000_000_000_000_000);
    assert_eq!(order.pay_by, shop.now().plus_millis(200_000_000_000_000));
    let payment = shop.payment(&order.id, "ann").await;
    let paid =
        shop.engine().settle(&payment, PaymentOutcome::Succeeded, 1_000_000_000_000_000).await.unwrap();
    assert!(matches!(paid, sale::scripts::Settled::Moved(_)), "{paid:?}");
    for entry in shop.engine().read_outbox(&shop.lane, 10).await.unwrap() {
        let event: serde_json::Value = serde_json::from_str(&entry.event).unwrap();
        assert_eq!(event["unit_price"], 1_000_000_000_000_i64);
        assert_eq!(event["pay_by"], shop.now().millis() + 200_000_000_000_000);
        if event["type"] != "order.created" {
            assert_eq!(event["amount"], 1_000_000_000_000_000_i64);
        }
    }
    shop.assert_sound().await;
}
