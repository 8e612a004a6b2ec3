//! The operator's side.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::client::{Client, Response};

/// Publishes, pauses and looks after items.
#[derive(Clone)]
pub struct Seller {
    client: Client,
}

/// An item as a test wants it.
#[derive(Clone)]
pub struct ItemTerms {
    pub title: String,
    pub stock: i64,
    pub per_user_limit: i64,
    pub mode: &'static str,
    /// From now, in seconds; before now if negative.
    pub starts_in: f64,
    pub ends_in: f64,
}

/// A published item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub sale_id: String,
}

/// Where the units of an item are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    pub total: i64,
    pub available: i64,
    pub held: i64,
    pub ordered: i64,
    pub sold: i64,
}

impl From<i64> for ItemTerms {
    fn from(stock: i64) -> ItemTerms {
        ItemTerms::of(stock)
    }
}

impl ItemTerms {
    /// On sale now, in the ordinary mode, one a shopper.
    pub fn of(stock: i64) -> ItemTerms {
        ItemTerms {
            title: "Aurora 75 mechanical keyboard".to_owned(),
            stock,
            per_user_limit: 1,
            mode: "queued",
            starts_in: -60.0,
            ends_in: 3600.0,
        }
    }

    pub fn limited_to(self, per_user_limit: i64) -> ItemTerms {
        ItemTerms { per_user_limit, ..self }
    }

    pub fn instant(self) -> ItemTerms {
        ItemTerms { mode: "instant", ..self }
    }

    pub fn between(self, starts_in: f64, ends_in: f64) -> ItemTerms {
        ItemTerms { starts_in, ends_in, ..self }
    }

    /// The body that creates it.
    pub fn body(&self) -> Value {
        json!({
            "title": self.title,
            "subtitle": "84 keys that sound like rain",
            "description": "A plate that floats on soft gaskets.",
            "image": "/pictures/keyboard.svg",
            "list_price": { "amount": 89900, "currency": "CNY" },
            "sale_price": { "amount": 39900, "currency": "CNY" },
            "stock": self.stock,
            "per_user_limit": self.per_user_limit,
            "mode": self.mode,
            "starts_at": timestamp_in(self.starts_in),
            "ends_at": timestamp_in(self.ends_in),
        })
    }
}

impl Seller {
    pub(crate) fn new(client: Client) -> Seller {
        Seller { client }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same operator at another host.
    pub fn at(&self, base: &str) -> Seller {
        Seller { client: self.client.at(base) }
    }

    /// A sale that is on for hours; its id.
    pub async fn sale(&self) -> String {
        let body = json!({
            "title": "Saturday Sprint",
            "description": "First come, first served.",
            "starts_at": timestamp_in(-3600.0),
            "ends_at": timestamp_in(6.0 * 3600.0),
        });
        let sale = self.client.post("/api/admin/sales").json(&body).send().await.expect(201);
        text(&sale, "id")
    }

    /// An item that is still a draft, in a sale of its own.
    pub async fn draft(&self, terms: &ItemTerms) -> Item {
        let sale_id = self.sale().await;
        let path = format!("/api/admin/sales/{sale_id}/items");
        let item = self.client.post(&path).json(&terms.body()).send().await.expect(201);
        assert_eq!(item["state"], "draft", "{item}");
        Item { id: text(&item, "id"), sale_id }
    }

    /// An item that shoppers see, in a sale of its own.
    pub async fn publish(&self, terms: &ItemTerms) -> Item {
        let item = self.draft(terms).await;
        self.order(&item, "publish").await.expect(200);
        item
    }

    /// `publish`, `pause`, `resume` or `close`.
    pub async fn order(&self, item: &Item, verb: &str) -> Response {
        self.client.post(&format!("/api/admin/items/{}/{verb}", item.id)).send().await
    }

    pub async fn set_stock(&self, item: &Item, change: Value) -> Response {
        self.client.post(&format!("/api/admin/items/{}/stock", item.id)).json(&change).send().await
    }

    /// The counters as the engine keeps them.
    pub async fn counters(&self, item: &Item) -> Counters {
        let path = format!("/api/admin/items/{}/stats", item.id);
        Counters::read(&self.client.get(&path).insist().await.expect(200))
    }

    /// Recounts the units from the reservations themselves. Fails unless the recount agrees with the counters, and with
    /// the order database as soon as that has caught up.
    pub async fn audit(&self, item: &Item) -> Value {
        let path = format!("/api/admin/items/{}/audit", item.id);
        let mut last = Value::Null;
        for _ in 0..50 {
            last = self.client.post(&path).insist().await.expect(200);
            if last["consistent"] == true {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{last:#}");
    }

    /// Fails unless the counters are as expected, add up, and agree with the recount.
    pub async fn expect_counters(&self, item: &Item, expected: Counters) {
        let counters = self.counters(item).await;
        assert_eq!(counters, expected);
        counters.assert_conserved();
        self.audit(item).await;
    }

    /// Does what doorbells and alarms would have done.
    pub async fn tick(&self) -> Value {
        self.client.post("/internal/tick").insist().await.expect(200)
    }
}

impl Counters {
    /// All units free.
    pub fn untouched(total: i64) -> Counters {
        Counters { total, available: total, held: 0, ordered: 0, sold: 0 }
    }

    /// That many held, the rest free.
    pub fn held(total: i64, held: i64) -> Counters {
        Counters { available: total - held, held, ..Counters::untouched(total) }
    }

    /// That many in unpaid orders, the rest free.
    pub fn ordered(total: i64, ordered: i64) -> Counters {
        Counters { available: total - ordered, ordered, ..Counters::untouched(total) }
    }

    /// Units in several places at once: the free ones are what remains.
    pub fn with_available(self, available: i64) -> Counters {
        Counters { available, ..self }
    }

    fn read(stats: &Value) -> Counters {
        let number = |name: &str| stats[name].as_i64().unwrap_or_else(|| panic!("no `{name}` in {stats:#}"));
        Counters {
            total: number("total"),
            available: number("available"),
            held: number("held"),
            ordered: number("ordered"),
            sold: number("sold"),
        }
    }

    /// No unit is lost and none is made.
    #[track_caller]
    pub fn assert_conserved(&self) {
        assert_eq!(self.total, self.available + self.held + self.ordered + self.sold, "{self:?}");
        assert!(
            [self.available, self.held, self.ordered, self.sold].iter().all(|count| *count >= 0),
            "{self:?}"
        );
    }
}

/// A moment from now in the contract's format, RFC 3339 with milliseconds.
pub fn timestamp_in(seconds: f64) -> String {
    let moment = OffsetDateTime::now_utc() + time::Duration::seconds_f64(seconds);
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment.format(format).expect("the format is complete")
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {object}")).to_owned()
}
