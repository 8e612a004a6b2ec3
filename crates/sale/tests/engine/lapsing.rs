//! Every reply of `lapse`.

use crate::shop::{ENDS, HOLD_MS, NOW, PAY_MS, RETENTION_MS, Shop};
use sale::item::Switch;
use sale::keys::{GRANT_DOORBELL, LEDGER_DOORBELL};
use sale::order::OrderState;
use sale::reservation::ReservationState;
use sale::scripts::{Lapsed, StockChange};

impl Shop {
    async fn lapse(&self, most: u32) -> Lapsed {
        self.engine().lapse(&self.lane, most).await.unwrap().expect("it is published")
    }
}

const NOTHING: Lapsed = Lapsed { holds: 0, orders: 0, overdue: 0, waiting: 0, purge_due: false };

#[tokio::test]
async fn holds_and_unpaid_orders_return_when_their_time_is_over_and_not_before() {
    let shop = Shop::open(3).await;
    let order = shop.ordered("ann").await;
    let hold = shop.held("bob").await;
    shop.set_now(NOW + HOLD_MS - 1);
    assert_eq!(shop.lapse(100).await, NOTHING);
    shop.set_now(NOW + HOLD_MS);
    assert_eq!(shop.lapse(100).await, Lapsed { holds: 1, ..NOTHING });
    assert_eq!(shop.state(&hold, "bob").await, ReservationState::Expired);
    assert_eq!(shop.counters().await, [2, 0, 1, 0]);
    assert_eq!(shop.lapse(100).await, NOTHING, "once");
    shop.set_now(NOW + PAY_MS - 1);
    assert_eq!(shop.lapse(100).await, NOTHING);
    shop.set_now(NOW + PAY_MS);
    assert_eq!(shop.lapse(100).await, Lapsed { orders: 1, ..NOTHING });
    let view = shop.engine().order(&order.id, None).await.unwrap().unwrap().0;
    assert_eq!(view.state, OrderState::TimedOut);
    assert_eq!(shop.state(&order.id.reservation(), "ann").await, ReservationState::Ordered);
    assert_eq!(shop.counters().await, [3, 0, 0, 0]);
    // Both may try again.
    shop.held("ann").await;
    shop.held("bob").await;
    let series = shop.engine().series(&shop.lane).await.unwrap();
    let sum = |name: &str| series.iter().filter_map(|point| point.counts.get(name)).sum::<i64>();
    assert_eq!((sum("expired"), sum("timed_out")), (1, 1));
    shop.assert_sound().await;
}

#[tokio::test]
async fn what_lapses_together_returns_in_pieces_and_the_alarm_stands_close_until_all_is_done() {
    let shop = Shop::open(10).await;
    for n in 0..10 {
        shop.queued(&format!("user-{n}")).await;
    }
    shop.grant().await;
    shop.set_now(NOW + HOLD_MS);
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    assert_eq!(shop.lapse(4).await, Lapsed { holds: 4, overdue: 6, ..NOTHING });
    assert!(shop.alarm_in().await <= 10, "an alarm that finishes what this caller may leave");
    assert_eq!(shop.counters().await, [4, 6, 0, 0]);
    shop.assert_sound().await;
    let done = sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(done.expired, 6);
    assert_eq!(shop.counters().await, [10, 0, 0, 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn doorbells_that_were_lost_are_rung_again() {
    let shop = Shop::open(3).await;
    shop.ordered("ann").await;
    shop.queued("bob").await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, LEDGER_DOORBELL, "end"]).await;
    let lane = shop.lane.to_string();
    let both = [(GRANT_DOORBELL.to_owned(), lane.clone()), (LEDGER_DOORBELL.to_owned(), lane.clone())];
    for _ in 0..2 {
        shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
        shop.advance(1_000);
        assert_eq!(shop.lapse(10).await, Lapsed { waiting: 1, ..NOTHING });
        assert_eq!(bell.heard(&shop.redis, "end").await, both);
        // And again soon, as long as nobody comes.
        shop.assert_alarm_in(500).await;
    }
    shop.grant().await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    assert_eq!(shop.lapse(10).await, NOTHING);
    assert_eq!(bell.heard(&shop.redis, "end").await, both[1..]);
    shop.assert_alarm_in(1_000).await;
    let entries = shop.engine().read_outbox(&shop.lane, 10).await.unwrap();
    shop.engine().acknowledge(&shop.lane, &[&entries[0].id]).await.unwrap();
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    assert_eq!(shop.lapse(10).await, NOTHING);
    assert_eq!(bell.heard(&shop.redis, "end").await, []);
    shop.assert_alarm_in(HOLD_MS).await;
}

#[tokio::test]
async fn the_queue_of_a_paused_item_is_not_rung_for_until_the_item_is_resumed() {
    let shop = Shop::open(3).await;
    shop.queued("ann").await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    shop.forget_events().await;
    assert_eq!(shop.lapse(10).await, Lapsed { waiting: 1, ..NOTHING });
    assert_eq!(bell.heard(&shop.redis, "end").await, []);
    // The end decides the queue even in a pause.
    shop.assert_alarm_in(ENDS - NOW).await;
    shop.engine().switch(&shop.lane, Switch::Open).await.unwrap();
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1);
    // Should that ring be lost, the alarm finds the queue.
    shop.assert_alarm_in(500).await;
}

#[tokio::test]
async fn holds_of_a_paused_item_lapse_too() {
    let shop = Shop::open(1).await;
    shop.held("ann").await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    shop.advance(HOLD_MS);
    assert_eq!(shop.lapse(10).await, Lapsed { holds: 1, ..NOTHING });
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_lane_whose_time_is_over_says_so_and_an_unknown_one_is_forgotten() {
    let shop = Shop::open(1).await;
    shop.set_now(ENDS + RETENTION_MS - 1);
    assert!(!shop.lapse(10).await.purge_due);
    shop.set_now(ENDS + RETENTION_MS);
    assert!(shop.lapse(10).await.purge_due);

    let nobody: sale::ids::Lane = "izzzzzzzzzz:0".parse().unwrap();
    assert_eq!(shop.engine().lapse(&nobody, 10).await.unwrap(), None);
    sale::work::remember(&shop.engine(), &nobody).await.unwrap();
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(sale::work::lanes(&shop.engine()).await.unwrap(), [shop.lane.clone(), nobody.clone()]);
    sale::work::lapse(&shop.engine(), &nobody).await.unwrap();
    assert_eq!(sale::work::lanes(&shop.engine()).await.unwrap(), std::slice::from_ref(&shop.lane));
}

#[tokio::test]
async fn stock_that_comes_back_goes_to_the_next_in_line() {
    let shop = Shop::open(2).await;
    shop.held("ann").await;
    shop.advance(HOLD_MS);
    let next = shop.queued("bob").await;
    shop.stock(StockChange::Total(1)).await;
    shop.lapse(10).await;
    shop.grant().await;
    assert_eq!(shop.state(&next, "bob").await, ReservationState::Held);
    shop.assert_sound().await;
}

#[tokio::test]
async fn the_message_of_a_doorbell_is_a_hint_and_anything_else_means_all_lanes() {
    let shop = Shop::open(1).await;
    let other: sale::ids::Lane = "izzzzzzzzzz:7".parse().unwrap();
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    sale::work::remember(&shop.engine(), &other).await.unwrap();
    let all = [shop.lane.clone(), other.clone()];
    for (message, expected) in [
        (&b"izzzzzzzzzz:7"[..], &all[1..]),
        (b"", &all),
        (b"izzzzzzzzzz:07", &all),
        (b"{izzzzzzzzzz:7}:alarm", &all),
        (&[0xff, 0xfe], &all),
    ] {
        assert_eq!(sale::work::hinted(&shop.engine(), message).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_lane_that_is_being_rebuilt_rings_the_ledger_keeps_its_alarm_and_is_not_forgotten() {
    let shop = Shop::open(5).await;
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    // As after the first step of a rebuild.
    shop.redis.command("RENAME", &[&shop.keys.lane(), &shop.keys.rebuilding()]).await;
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    let mut bell = shop.server.listen(&[LEDGER_DOORBELL]).await;
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(bell.expect().await, shop.lane.to_string());
    shop.assert_alarm_in(1_000).await;
    assert_eq!(sale::work::lanes(&shop.engine()).await.unwrap(), std::slice::from_ref(&shop.lane));
    shop.redis.command("DEL", &[&shop.keys.rebuilding()]).await;
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(sale::work::lanes(&shop.engine()).await.unwrap(), [], "a lane without keys is forgotten");
}
