//! Every reply of the operator's scripts: publish, revise, switch, stock, view, audit; and the holders of a sold-out item.

use crate::shop::{ENDS, HOLD_MS, NOW, RETENTION_MS, STARTS, Shop, terms, user};
use sale::item::{ItemState, MAX_STOCK, Mode, Switch, Terms};
use sale::keys::GRANT_DOORBELL;
use sale::scripts::{LaneView, PaymentOutcome, Published, StockChange, Stocked, Switched};
use sale::time::Timestamp;

#[tokio::test]
async fn a_lane_is_published_once_and_then_revised() {
    let shop = Shop::empty().await;
    assert_eq!(shop.engine().revise(&shop.lane, &terms()).await.unwrap(), Published::NotFound);
    assert_eq!(shop.engine().view(&shop.lane).await.unwrap(), None);
    assert_eq!(shop.engine().publish(&shop.lane, 7, &terms()).await.unwrap(), Published::New);
    let fresh = LaneView {
        now: shop.now(),
        switch: Switch::Open,
        starts_at: Timestamp::from_millis(STARTS),
        ends_at: Timestamp::from_millis(ENDS),
        per_user_limit: 1,
        mode: Mode::Queued,
        total: 7,
        available: 7,
        held: 0,
        ordered: 0,
        sold: 0,
        admitted: 0,
        waiting: 0,
        outbox: 1,
        seq: 1,
    };
    assert_eq!(shop.view().await, fresh);
    assert_eq!(shop.view().await.state_at(shop.now()), ItemState::Open);

    // Publishing again in the middle of the sale keeps stock and counters.
    shop.ordered("ann").await;
    shop.queued("bob").await;
    assert_eq!(shop.engine().publish(&shop.lane, 100, &terms()).await.unwrap(), Published::Revised);
    let mut other = terms();
    (other.per_user_limit, other.mode) = (4, Mode::Instant);
    other.ends_at = Timestamp::from_millis(NOW + 5);
    assert_eq!(shop.engine().revise(&shop.lane, &other).await.unwrap(), Published::Revised);
    let revised = LaneView {
        per_user_limit: 4,
        mode: Mode::Instant,
        ends_at: other.ends_at,
        available: 6,
        ordered: 1,
        admitted: 2,
        waiting: 1,
        outbox: 4,
        seq: 4,
        ..fresh
    };
    assert_eq!(shop.view().await, revised);
    shop.assert_sound().await;

    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    assert_eq!(shop.engine().publish(&shop.lane, 7, &terms()).await.unwrap(), Published::Closed);
    assert_eq!(shop.engine().revise(&shop.lane, &terms()).await.unwrap(), Published::Closed);
    assert_eq!(shop.view().await, LaneView { switch: Switch::Closed, outbox: 5, seq: 5, ..revised });
}

impl Shop {
    /// Revises the lane, and copies the events.
    async fn revised(&self, terms: &Terms) {
        self.engine().revise(&self.lane, terms).await.unwrap();
        let left = self.alarm_in().await;
        assert!(left <= 1_000, "the outbox is looked after within a second, not in {left} ms");
        self.forget_events().await;
        self.engine().lapse(&self.lane, 1).await.unwrap();
    }
}

#[tokio::test]
async fn an_earlier_end_brings_the_alarm_forward_and_a_later_one_is_seen_when_it_lapses() {
    let shop = Shop::open(1).await;
    shop.assert_alarm_in(ENDS + RETENTION_MS - NOW).await;
    let mut other = terms();
    other.ends_at = Timestamp::from_millis(NOW + 60_000);
    other.retention_ms = 60_000;
    shop.revised(&other).await;
    shop.assert_alarm_in(120_000).await;
    other.retention_ms = 600_000;
    shop.engine().revise(&shop.lane, &other).await.unwrap();
    shop.forget_events().await;
    shop.advance(120_000);
    assert!(!shop.engine().lapse(&shop.lane, 10).await.unwrap().unwrap().purge_due);
    shop.assert_alarm_in(540_000).await;
}

#[tokio::test]
async fn an_item_is_paused_resumed_and_closed_for_good() {
    let shop = Shop::empty().await;
    let switch = async |wanted| shop.engine().switch(&shop.lane, wanted).await.unwrap();
    assert_eq!(switch(Switch::Paused).await, Switched::NotFound);
    shop.engine().publish(&shop.lane, 1, &terms()).await.unwrap();
    let mut before = Switch::Open;
    for wanted in [Switch::Open, Switch::Paused, Switch::Paused, Switch::Open, Switch::Paused, Switch::Closed]
    {
        assert_eq!(switch(wanted).await, Switched::Done { before });
        assert_eq!(shop.view().await.switch, wanted);
        before = wanted;
    }
    assert_eq!(switch(Switch::Closed).await, Switched::Done { before: Switch::Closed });
    assert_eq!(switch(Switch::Open).await, Switched::Closed);
    assert_eq!(switch(Switch::Paused).await, Switched::Closed);
    assert_eq!(shop.view().await.switch, Switch::Closed);
}

#[tokio::test]
async fn resuming_and_closing_ring_for_those_who_wait() {
    let shop = Shop::open(1).await;
    shop.queued("ann").await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    for (wanted, rings) in [(Switch::Paused, 0), (Switch::Open, 1), (Switch::Closed, 1)] {
        shop.engine().switch(&shop.lane, wanted).await.unwrap();
        assert_eq!(bell.heard(&shop.redis, "end").await.len(), rings, "{wanted:?}");
    }
}

#[tokio::test]
async fn stock_goes_up_and_down_but_never_below_what_is_taken() {
    let shop = Shop::empty().await;
    assert_eq!(shop.stock(StockChange::Add(1)).await, Stocked::NotFound);
    shop.engine().publish(&shop.lane, 5, &terms()).await.unwrap();
    shop.held("ann").await;
    shop.ordered("bob").await;
    let payment = shop.paying("cat").await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;

    let done = |total| Stocked::Done { total, available: total - 3 };
    let refused = |total| Stocked::Conflict { taken: 3, total };
    for (change, expected) in [
        (StockChange::Add(4), done(9)),
        (StockChange::Add(-2), done(7)),
        (StockChange::Total(20), done(20)),
        (StockChange::Total(3), done(3)),
        (StockChange::Total(2), refused(3)),
        (StockChange::Add(-1), refused(3)),
        (StockChange::Add(0), done(3)),
        (StockChange::Total(-1), refused(3)),
        (StockChange::Total(i64::MIN), refused(3)),
        (StockChange::Add(i64::MAX), refused(3)),
        (StockChange::Total(MAX_STOCK), done(MAX_STOCK)),
        (StockChange::Add(1), refused(MAX_STOCK)),
        (StockChange::Total(4), done(4)),
    ] {
        assert_eq!(shop.stock(change).await, expected, "{change:?}");
        shop.assert_sound().await;
    }
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    assert_eq!(shop.stock(StockChange::Add(1)).await, refused(4));
}

#[tokio::test]
async fn more_stock_rings_for_those_who_wait() {
    let shop = Shop::open(1).await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    shop.stock(StockChange::Add(1)).await;
    assert_eq!(bell.heard(&shop.redis, "end").await, []);
    shop.queued("ann").await;
    bell.heard(&shop.redis, "end").await;
    shop.stock(StockChange::Add(1)).await;
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1);
}

#[tokio::test]
async fn the_reservation_that_is_alive_is_found_by_its_shopper() {
    let shop = Shop::open(2).await;
    let alive = async || shop.engine().alive(&shop.lane, &user("ann")).await.unwrap();
    assert_eq!(alive().await, None);
    let payment = shop.paying("ann").await;
    assert_eq!(alive().await, Some(payment.order.reservation()));
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    assert_eq!(alive().await, None);
}

#[tokio::test]
async fn an_audit_counts_every_state_and_tells_each_difference() {
    let shop = Shop::empty().await;
    assert_eq!(shop.engine().audit(&shop.lane, 1_000).await.unwrap(), None);
    shop.engine().publish(&shop.lane, 6, &terms()).await.unwrap();
    let payment = shop.paying("paid").await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    let lapsed = shop.held("lapsed").await;
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    let order = shop.ordered("unpaid").await;
    let held = shop.held("held").await;
    let gone = shop.queued("gone").await;
    shop.queued("queued").await;
    shop.engine().release(&gone, &user("gone")).await.unwrap();
    let audit = shop.assert_sound().await;
    assert_eq!((audit.held, audit.ordered, audit.sold, audit.available), (1, 1, 1, 3));
    assert_eq!((audit.counted_queued, audit.queue_length), (1, 2));
    assert_eq!((audit.taken_by_users, audit.users, audit.reservations, audit.deadlines), (4, 4, 6, 2));
    let _ = lapsed;

    // The audit tells damage of each kind.
    let lane = shop.keys.lane();
    let differences = async || shop.engine().audit(&shop.lane, 1_000).await.unwrap().unwrap().differences();
    for (field, told) in [("available", 1), ("held", 2), ("ordered", 2), ("sold", 2)] {
        shop.redis.command("HINCRBY", &[&lane, field, "1"]).await;
        assert_eq!(differences().await.len(), told, "{field}");
        shop.redis.command("HINCRBY", &[&lane, field, "-1"]).await;
    }
    for (key, tail) in [
        (shop.keys.reservations(), held.tail),
        (shop.keys.orders(), order.id.tail.clone()),
        (shop.keys.orders(), payment.order.tail),
    ] {
        let record = shop.redis.texts("HGET", &[&key, tail.as_str()]).await.remove(0);
        shop.redis.command("HDEL", &[&key, tail.as_str()]).await;
        assert_eq!(differences().await.len(), 2, "{key}");
        shop.redis.command("HSET", &[&key, tail.as_str(), &record]).await;
    }
    shop.redis.command("HSET", &[&shop.keys.users(), "thief", "3|"]).await;
    assert_eq!(
        differences().await,
        ["units that caps count is 7, units queued, held, ordered and sold is 4"]
    );
}

#[tokio::test]
async fn of_two_changes_the_newer_document_gives_the_terms_whatever_order_they_come_in() {
    let shop = Shop::open(5).await;
    let price = async || shop.redis.number("HGET", &[&shop.keys.lane(), "price"]).await;
    let revise = async |version, amount| {
        let mut terms = Terms { version, ..terms() };
        terms.price.amount = amount;
        shop.engine().revise(&shop.lane, &terms).await.unwrap()
    };
    assert_eq!(revise(3, 300).await, Published::Revised);
    let events = shop.view().await.seq;
    assert_eq!(revise(2, 200).await, Published::Older);
    assert_eq!((price().await, shop.view().await.seq), (300, events), "nothing was changed or told");
    let again = Terms { version: 2, ..terms() };
    assert_eq!(shop.engine().publish(&shop.lane, 5, &again).await.unwrap(), Published::Older);
    assert_eq!(price().await, 300);
    assert_eq!(revise(3, 300).await, Published::Revised, "the same document again");
    assert_eq!(revise(4, 400).await, Published::Revised);
    assert_eq!(price().await, 400);
}
