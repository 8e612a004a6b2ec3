//! What a lane forgets in time: records of reservations that ended, and old points of the time series.

use crate::budgets::used_memory;
use crate::shop::{HOLD_MS, PAY_MS, Shop, contact, user};
use sale::ids::ReservationId;
use sale::item::{Mode, Switch};
use sale::reservation::ReservationState;
use sale::scripts::{CheckedOut, Granted, Polled, Released, Reserved};

const KEPT_MS: i64 = 600_000;

impl Shop {
    async fn found(&self, id: &ReservationId, name: &str) -> Option<ReservationState> {
        match self.engine().poll(id, &user(name), false).await.unwrap().outcome {
            Polled::Found(view) => Some(view.state),
            _ => None,
        }
    }

    async fn reservations(&self) -> i64 {
        self.redis.number("HLEN", &[&self.keys.reservations()]).await
    }

    async fn give_back(&self, id: &ReservationId, name: &str) {
        assert_eq!(self.engine().release(id, &user(name)).await.unwrap(), Released::Done);
    }
}

#[tokio::test]
async fn a_reservation_that_ended_is_shown_for_ten_minutes_and_then_forgotten() {
    let shop = Shop::open(1).await;
    let released = shop.held("released").await;
    shop.give_back(&released, "released").await;
    let expired = shop.queued("expired").await;
    let sold_out = shop.queued("sold_out").await;
    shop.grant().await;
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    let rejected = shop.queued("rejected").await;
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    shop.grant().await;
    let ended = [
        (released, "released", ReservationState::Released),
        (sold_out, "sold_out", ReservationState::SoldOut),
        (expired, "expired", ReservationState::Expired),
        (rejected, "rejected", ReservationState::Rejected),
    ];
    shop.advance(KEPT_MS - HOLD_MS - 1);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    for (id, name, state) in &ended {
        assert_eq!(shop.found(id, name).await, Some(*state));
    }
    // The first two ended a hold earlier.
    shop.advance(1_001);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    for (at, (id, name, _)) in ended.iter().enumerate() {
        assert_eq!(shop.found(id, name).await.is_some(), at >= 2, "{name}");
    }
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.reservations().await, 0);
    assert_eq!(shop.redis.number("EXISTS", &[&shop.keys.ended()]).await, 0);
    let (id, name, _) = &ended[2];
    assert_eq!(shop.engine().release(id, &user(name)).await.unwrap(), Released::NotFound);
    let checked_out = shop.engine().checkout(id, &user(name), &contact()).await.unwrap();
    assert_eq!(checked_out, CheckedOut::NotFound);
    shop.assert_sound().await;
}

#[tokio::test]
async fn every_script_that_ends_reservations_forgets_more_than_it_adds() {
    let shop = Shop::open(1).await;
    let mut old = Vec::new();
    for n in 0..12 {
        let name = format!("old{n}");
        old.push(shop.queued(&name).await);
        shop.give_back(&old[n], &name).await;
    }
    shop.grant().await;
    let own = shop.held("ann").await;
    shop.advance(KEPT_MS + 1_000);
    let before = shop.reservations().await;
    shop.give_back(&own, "ann").await;
    assert_eq!(shop.reservations().await, before - 3, "release");
    shop.queued("bob").await;
    for name in ["cat", "dan"] {
        shop.queued(name).await;
    }
    let before = shop.reservations().await;
    assert!(matches!(shop.grant().await, Granted::Drained { sold_out: 2, .. }));
    assert_eq!(shop.reservations().await, before - 5, "grant");
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.reservations().await, 4, "lapse: the rest of the old ones");
}

#[tokio::test]
async fn a_place_that_was_given_back_and_forgotten_while_the_queue_rests_is_passed_over() {
    let shop = Shop::open(5).await;
    let ann = shop.queued("ann").await;
    let bob = shop.queued("bob").await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    shop.give_back(&ann, "ann").await;
    shop.advance(KEPT_MS + 1_000);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.found(&ann, "ann").await, None);
    shop.engine().switch(&shop.lane, Switch::Open).await.unwrap();
    assert!(matches!(shop.grant().await, Granted::Drained { held: 1, decided: 1, .. }));
    assert_eq!(shop.state(&bob, "bob").await, ReservationState::Held);
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_record_of_an_order_stays_even_if_its_hold_was_noted_as_ended() {
    let shop = Shop::open(1).await;
    let order = shop.ordered("ann").await;
    // As after a loss: the hold lapsed in an older copy, and a rebuild put its order back.
    let entry = format!("1|{}", order.id.tail.as_str());
    shop.redis.command("RPUSH", &[&shop.keys.ended(), &entry]).await;
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.found(&order.id.reservation(), "ann").await, Some(ReservationState::Ordered));
    assert_eq!(shop.redis.number("EXISTS", &[&shop.keys.ended()]).await, 0);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shopper_who_reserves_and_gives_back_without_end_fills_nothing() {
    let shop = Shop::with(10, |terms| {
        terms.mode = Mode::Instant;
        terms.ends_at = terms.ends_at.plus_millis(10 * 86_400_000);
    })
    .await;
    // Eight hours at a return every five seconds, in which everything that is kept for a time has come and gone.
    let mut used = Vec::new();
    for round in 0..4 {
        for n in 0..1_440 {
            let name = format!("shopper{:06}", n + 1_440 * round);
            let Reserved::Held { id, .. } = shop.reserve(&name, 1).await else { panic!() };
            if n % 3 == 0 {
                shop.advance(HOLD_MS);
                shop.engine().lapse(&shop.lane, 10).await.unwrap();
            } else {
                shop.give_back(&id, &name).await;
            }
            shop.advance(5_000);
        }
        used.push(used_memory(&shop.redis).await);
    }
    assert!(shop.reservations().await <= 122, "{}", shop.reservations().await);
    // Less than 3 bytes a reservation; a record took a hundred.
    assert!(used[3] - used[1] < 8_192, "{used:?}");
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_time_series_of_a_long_sale_is_bounded_and_adds_up() {
    let shop = Shop::with(10, |terms| {
        terms.mode = Mode::Instant;
        terms.ends_at = terms.ends_at.plus_millis(10 * 86_400_000);
    })
    .await;
    let begun = shop.now();
    // Something happens once a minute, for three days.
    for n in 0..3 * 1_440 {
        let name = format!("shopper{n}");
        let Reserved::Held { id, .. } = shop.reserve(&name, 1).await else { panic!() };
        shop.give_back(&id, &name).await;
        shop.advance(60_000);
    }
    let series = shop.engine().series(&shop.lane).await.unwrap();
    // Sixty or seventy points of the last hour, and six for each hour before.
    assert!((60 + 6 * 23..=70 + 6 * 24).contains(&series.len()), "{} points", series.len());
    assert!(shop.redis.number("HLEN", &[&shop.keys.series()]).await <= 3 * 214 + 1);
    let first = series.first().unwrap().at;
    assert!((86_400_000..=86_400_000 + 1_200_000).contains(&shop.now().since(first)), "{}", first.millis());
    let sum: i64 = series.iter().filter_map(|point| point.counts.get("held")).sum();
    assert_eq!(sum, shop.now().since(first) / 60_000, "one a minute");
    assert!(series.iter().all(|point| point.counts.len() == 3), "{:?}", series.first());
    let recent = series.last().unwrap();
    assert_eq!((recent.at.since(begun) % 10_000, recent.counts["held"]), (0, 1));
    assert!(series[0].counts["held"] == 10 && series[0].at.millis() % 600_000 == 0);
}

#[tokio::test]
async fn cancelled_orders_stay_until_the_purge() {
    let shop = Shop::open(1).await;
    let order = shop.ordered("ann").await;
    shop.advance(PAY_MS + KEPT_MS + 2_000);
    for _ in 0..2 {
        shop.engine().lapse(&shop.lane, 10).await.unwrap();
    }
    assert_eq!(shop.found(&order.id.reservation(), "ann").await, Some(ReservationState::Ordered));
}
