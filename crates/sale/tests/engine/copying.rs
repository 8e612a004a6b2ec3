//! The outbox: one event a move, numbered without a gap, read and acknowledged in any way.

use crate::shop::{PRICE, Shop, contact, user};
use sale::catalogue::{Documents, Item, Sale};
use sale::ids::Lane;
use sale::item::{Mode, Offer, Switch};
use sale::keys::LEDGER_DOORBELL;
use sale::money::{Currency, Money};
use sale::scripts::{CheckedOut, Contact, OutboxEntry, PaymentOutcome, StockChange};
use serde_json::{Value, json};

impl Shop {
    async fn read(&self, most: u32) -> Vec<OutboxEntry> {
        self.engine().read_outbox(&self.lane, most).await.unwrap()
    }

    async fn acknowledge(&self, entries: &[OutboxEntry]) -> u64 {
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
        self.engine().acknowledge(&self.lane, &ids).await.unwrap()
    }
}

fn parsed(entry: &OutboxEntry) -> Value {
    serde_json::from_str(&entry.event).unwrap()
}

fn numbers(entries: &[OutboxEntry]) -> Vec<i64> {
    entries.iter().map(|entry| parsed(entry)["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn an_event_tells_all_of_its_step() {
    let shop = Shop::open(1).await;
    let created_at = shop.now().millis();
    let payment = shop.paying("ann.b_c:d@e-f").await;
    shop.advance(5);
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    let order = payment.order.to_string();
    let reservation = payment.order.reservation().to_string();
    let mut expected = json!({
        "seq": 1, "type": "order.created", "at": created_at, "item_id": "iabcdefghij", "lane": 0,
        "order_id": order, "reservation_id": reservation, "user_id": "ann.b_c:d@e-f", "quantity": 1,
        "unit_price": PRICE, "currency": "CNY", "state": "unpaid", "pay_by": created_at + crate::shop::PAY_MS,
    });
    let entries = shop.read(10).await;
    let events: Vec<Value> = entries.iter().map(parsed).collect();
    assert_eq!(events[0], expected);
    // What the shopper wrote comes apart from the event, and with this event only.
    assert!(entries[0].contact == Some(contact()));
    assert!(entries[1..].iter().all(|entry| entry.contact.is_none()));
    let members = expected.as_object_mut().unwrap();
    members.extend(
        json!({"seq": 2, "type": "payment.created", "payment_id": payment.to_string(), "amount": PRICE})
            .as_object()
            .unwrap()
            .clone(),
    );
    assert_eq!(events[1], expected);
    let members = expected.as_object_mut().unwrap();
    members.extend(json!({"seq": 3, "type": "order.paid", "state": "paid", "at": created_at + 5, "paid_at": created_at + 5})
        .as_object().unwrap().clone());
    assert_eq!(events[2], expected);
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_lane_tells_all_that_it_offers_whenever_that_changes() {
    let shop = Shop::empty().await;
    let terms = crate::shop::terms();
    shop.engine().publish(&shop.lane, 5, &terms).await.unwrap();
    shop.stock(StockChange::Add(2)).await;
    shop.stock(StockChange::Total(7)).await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    let mut cheaper = terms.clone();
    cheaper.price.amount -= 1;
    shop.engine().revise(&shop.lane, &cheaper).await.unwrap();
    let events: Vec<Value> = shop.read(10).await.iter().map(parsed).collect();
    let offer = |event: &Value| serde_json::from_value::<Offer>(event.clone()).unwrap();
    let first = Offer {
        switch: Switch::Open,
        total: 5,
        starts_at: terms.starts_at.millis(),
        ends_at: terms.ends_at.millis(),
        cap: 1,
        mode: terms.mode,
        price: PRICE,
        currency: terms.price.currency,
        hold_ms: terms.hold_ms,
        pay_ms: terms.pay_ms,
        queue_factor: terms.rules.rules.queue_factor,
        purge_at: terms.ends_at.millis() + terms.retention_ms,
        rates: "0|0|0|0|0".into(),
        paused_by_rules: false,
    };
    let more = Offer { total: 7, ..first.clone() };
    let paused = Offer { switch: Switch::Paused, ..more.clone() };
    let revised = Offer { price: PRICE - 1, ..paused.clone() };
    assert_eq!(events.iter().map(offer).collect::<Vec<_>>(), [first, more, paused, revised]);
    assert!(events.iter().all(|event| event["type"] == "lane.changed"));
    assert_eq!(numbers(&shop.read(10).await), [1, 2, 3, 4]);
    assert!(shop.alarm_in().await <= 1_000, "the outbox is looked after");
}

#[tokio::test]
async fn what_the_operator_wrote_is_told_as_it_was() {
    let shop = Shop::open(5).await;
    let price = Money::new(PRICE, Currency::parse("CNY").unwrap());
    let sale = Sale {
        id: "sabcdefghij".parse().unwrap(),
        title: "\"quoted\" \\ 中文 }{".into(),
        description: "line\nbreak".into(),
        starts_at: shop.now(),
        ends_at: shop.now().plus_millis(5),
        archived: false,
        version: 3,
    };
    let item = Item {
        id: shop.lane.item.clone(),
        sale_id: sale.id.clone(),
        title: "%s".into(),
        subtitle: String::new(),
        description: String::new(),
        image: String::new(),
        list_price: price.clone(),
        sale_price: price,
        stock: 5,
        per_user_limit: 1,
        mode: Mode::Queued,
        starts_at: shop.now(),
        ends_at: shop.now().plus_millis(5),
        lanes: 1,
        published: true,
        archived: false,
        version: 7,
    };
    let documents = Documents { item, sale };
    assert!(shop.engine().describe(&shop.lane, &documents).await.unwrap());
    let event = parsed(&shop.read(10).await[0]);
    assert_eq!(event["type"], "lane.described");
    assert_eq!(serde_json::from_value::<Documents>(event["documents"].clone()).unwrap(), documents);
    let nowhere: Lane = "ibbbbbbbbbb:0".parse().unwrap();
    assert!(!shop.engine().describe(&nowhere, &documents).await.unwrap());
}

#[tokio::test]
async fn strange_words_of_a_shopper_come_back_as_they_were() {
    let shop = Shop::open(10).await;
    for (n, text) in [
        "\"quoted\" and \\ back\\\\slash",
        "line\nbreak\r\n\ttab\u{0}null\u{7}bell",
        "中文 地址 🎉 \u{2028} \u{feff}",
        "a|b|c'; redis.call('FLUSHALL') --",
        "}{\"seq\":99}",
        "%s %d %% {0}",
        &"long ".repeat(2_000),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user-{n}");
        let id = shop.held(&name).await;
        let contact = Contact { contact: text.into(), address: text.into(), note: text.into() };
        let answer = shop.engine().checkout(&id, &user(&name), &contact).await.unwrap();
        assert!(matches!(answer, CheckedOut::Made(_)));
        assert!(shop.engine().order(&id.order(), None).await.unwrap().unwrap().1.as_ref() == Some(&contact));
        let entry = shop.read(100).await.pop().unwrap();
        assert!(entry.contact == Some(contact));
        assert_eq!(parsed(&entry)["seq"], n + 1);
    }
}

#[tokio::test]
async fn events_that_are_not_acknowledged_are_read_again_in_order_and_none_is_skipped() {
    let shop = Shop::open(10).await;
    assert_eq!(shop.read(10).await, []);
    assert!(shop.redis.command("KEYS", &["*outbox"]).await.is_empty(), "reading makes nothing");
    for n in 0..6 {
        shop.ordered(&format!("user-{n}")).await;
    }
    let first = shop.read(2).await;
    assert_eq!(numbers(&first), [1, 2]);
    assert_eq!(shop.read(2).await, first, "a copier that died");
    assert_eq!(numbers(&shop.read(4).await), [1, 2, 3, 4], "those given before, then new ones");
    assert_eq!(shop.acknowledge(&first[1..]).await, 5, "out of order");
    assert_eq!(numbers(&shop.read(4).await), [1, 3, 4, 5]);
    assert_eq!(shop.acknowledge(&first).await, 4, "one of them for the second time");
    assert_eq!(shop.acknowledge(&first).await, 4);
    assert_eq!(shop.acknowledge(&[]).await, 4);
    let rest = shop.read(100).await;
    assert_eq!(numbers(&rest), [3, 4, 5, 6]);
    assert_eq!(shop.acknowledge(&rest).await, 0);
    assert_eq!(shop.read(100).await, []);
    assert_eq!(shop.view().await.outbox, 0);
    // The numbers go on where they were.
    shop.ordered("late").await;
    assert_eq!(numbers(&shop.read(100).await), [7]);
}

#[tokio::test]
async fn two_copiers_at_once_lose_nothing() {
    let shop = Shop::open(1_000).await;
    for n in 0..300 {
        shop.ordered(&format!("user-{n}")).await;
    }
    let copy = async || {
        let mut seen = Vec::new();
        loop {
            let entries = shop.read(7).await;
            seen.extend(numbers(&entries));
            if entries.is_empty() || shop.acknowledge(&entries).await == 0 {
                return seen;
            }
        }
    };
    let (mut one, two) = tokio::join!(copy(), copy());
    one.extend(two);
    one.sort();
    one.dedup();
    assert_eq!(one, (1..=300).collect::<Vec<_>>());
    assert_eq!(shop.view().await.outbox, 0);
}

#[tokio::test]
async fn an_outbox_rings_when_it_turns_non_empty() {
    let shop = Shop::open(10).await;
    let mut bell = shop.server.listen(&[LEDGER_DOORBELL, "end"]).await;
    shop.ordered("ann").await;
    shop.ordered("bob").await;
    assert_eq!(bell.heard(&shop.redis, "end").await, [(LEDGER_DOORBELL.to_owned(), shop.lane.to_string())]);
    let entries = shop.read(10).await;
    shop.acknowledge(&entries).await;
    shop.ordered("cat").await;
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1);
    shop.assert_alarm_in(500).await;
}

#[tokio::test]
async fn an_outbox_of_nobody_is_acknowledged_without_making_keys() {
    let shop = Shop::empty().await;
    assert_eq!(shop.engine().acknowledge(&shop.lane, &["1-1"]).await.unwrap(), 0);
    assert!(shop.redis.command("KEYS", &["*"]).await.is_empty());
}
