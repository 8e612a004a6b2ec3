//! Changes that an operator sends again under an idempotency key: made once, with the first reply.

use crate::shop::Shop;
use sale::Engine;
use sale::catalogue::Sale;
use sale::change::IdempotencyKey;
use sale::keys::CATALOGUE_ANSWERS;
use sale::scripts::{Added, FirstAnswer, StockChange, Stocked};
use sale::time::Timestamp;
use testkit::Connection;

const DAY_MS: i64 = 86_400_000;

fn key(name: &str, body: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new("anna", name, "/path", body.as_bytes()))
}

fn sale(number: u64) -> Sale {
    let moment = Timestamp::from_millis(0);
    let (title, description) = (String::new(), String::new());
    let id = format!("s{number:010}").parse().unwrap();
    Sale { id, title, description, starts_at: moment, ends_at: moment, archived: false, version: 1 }
}

impl Shop {
    fn once(&self, name: &str, body: &str) -> Engine<Connection> {
        self.engine().once(key(name, body))
    }
}

#[tokio::test]
async fn stock_is_added_once_under_one_key() {
    let shop = Shop::open(5).await;
    let add = async |name, body| shop.once(name, body).stock(&shop.lane, StockChange::Add(10)).await.unwrap();
    let first = Stocked::Done { total: 15, available: 15 };
    assert_eq!(add("a", "10").await, first);
    shop.held("ann").await;
    for _ in 0..20 {
        assert_eq!(add("a", "10").await, first, "the first reply, although a unit was sold since");
    }
    assert_eq!(add("a", "11").await, Stocked::KeyReused);
    assert_eq!(add("b", "10").await, Stocked::Done { total: 25, available: 24 });
    let other = shop.engine().once(Some(IdempotencyKey::new("ben", "a", "/path", b"10")));
    let outcome = other.stock(&shop.lane, StockChange::Add(1)).await.unwrap();
    assert_eq!(outcome, Stocked::Done { total: 26, available: 25 }, "another operator has keys of their own");
    for total in [27, 28] {
        let outcome = shop.stock(StockChange::Add(1)).await;
        assert_eq!(outcome, Stocked::Done { total, available: total - 1 }, "without a key as ever");
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_refused_change_of_stock_keeps_no_key() {
    let shop = Shop::open(1).await;
    shop.held("ann").await;
    let cut = async || shop.once("a", "0").stock(&shop.lane, StockChange::Total(0)).await.unwrap();
    assert_eq!(cut().await, Stocked::Conflict { taken: 1, total: 1 });
    shop.advance(crate::shop::HOLD_MS);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(cut().await, Stocked::Done { total: 0, available: 0 });
}

#[tokio::test]
async fn a_document_is_added_once_under_one_key() {
    let shop = Shop::empty().await;
    let add = async |name, body, number, answer| {
        shop.once(name, body).add_document(&sale(number), answer).await.unwrap()
    };
    assert_eq!(shop.once("a", "x").first_answer().await.unwrap(), FirstAnswer::None);
    assert_eq!(add("a", "x", 1, "first").await, Added::Done);
    assert_eq!(add("a", "x", 2, "second").await, Added::Repeated { answer: "first".to_owned() });
    assert_eq!(add("a", "y", 3, "third").await, Added::KeyReused);
    assert_eq!(add("b", "y", 1, "fourth").await, Added::Taken);
    assert_eq!(shop.once("a", "x").first_answer().await.unwrap(), FirstAnswer::Kept("first".to_owned()));
    assert_eq!(shop.once("a", "y").first_answer().await.unwrap(), FirstAnswer::KeyReused);
    assert_eq!(shop.engine().first_answer().await.unwrap(), FirstAnswer::None, "no key");
    assert_eq!(shop.engine().documents::<Sale>().await.unwrap(), [sale(1)]);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_and_beyond_a_thousand() {
    let shop = Shop::empty().await;
    let kept = async || shop.redis.number("HLEN", &[CATALOGUE_ANSWERS]).await;
    let add =
        async |name: &str, number: u64| shop.once(name, "x").add_document(&sale(number), name).await.unwrap();
    assert_eq!(add("old", 1).await, Added::Done);
    shop.advance(DAY_MS - 1);
    assert_eq!(add("old", 2).await, Added::Repeated { answer: "old".to_owned() });
    shop.advance(1);
    assert_eq!(add("old", 2).await, Added::Done, "a day later the key is free");
    assert_eq!(
        kept().await,
        4,
        "the first entry has gone, the second stays: itself, its number and two counters"
    );
    assert_eq!(add("old", 3).await, Added::Repeated { answer: "old".to_owned() });

    for number in 0..1_100 {
        let name = number.to_string();
        assert_eq!(add(&name, 1_000 + number).await, Added::Done);
    }
    assert_eq!(kept().await, 2 * 1_000 + 2);
    assert_eq!(shop.once("old", "x").first_answer().await.unwrap(), FirstAnswer::None, "the oldest go first");
    let left = shop.redis.number("PTTL", &[CATALOGUE_ANSWERS]).await;
    assert!((1..=DAY_MS).contains(&left), "{left}");
}
