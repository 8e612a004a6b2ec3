//! The documents of the catalogue: sales and items as operators write them.

use crate::ids::{ItemId, SaleId};
use crate::item::Mode;
use crate::money::Money;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A sale, as kept in Redis for operators and, once it has published items, in the key-value store for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    pub id: SaleId,
    pub title: String,
    pub description: String,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// Whether it has left the public lists for good.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Counts the changes of this document, from 1.
    pub version: u64,
}

/// An item, as kept in Redis for operators and, once published, in the key-value store for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub id: ItemId,
    pub sale_id: SaleId,
    pub title: String,
    pub subtitle: String,
    pub description: String,
    pub image: String,
    pub list_price: Money,
    pub sale_price: Money,
    /// The stock of a draft; once published, the engine's count is the truth.
    pub stock: i64,
    pub per_user_limit: u32,
    pub mode: Mode,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// Lanes that the stock is split over.
    pub lanes: u16,
    pub published: bool,
    /// Whether its sale is archived.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Counts the changes of this document, from 1.
    pub version: u64,
}

impl Item {
    /// Whether the public sees it.
    pub fn is_listed(&self) -> bool {
        self.published && !self.archived
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An item and its sale, as the order database keeps them for the day when Redis is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    pub item: Item,
    pub sale: Sale,
}

/// A document with a version, kept under its id in a hash of the catalogue.
pub trait Document: Serialize + for<'de> Deserialize<'de> {
    /// The key of the hash that it lives in.
    const KEY: &'static str;
    fn id(&self) -> &str;
    fn version(&self) -> u64;
    /// Where the lists of the catalogue have it.
    fn listing(&self) -> Listing;
}

/// Where the lists of the catalogue have a document, as the scripts take it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// `sale`, `item`, or nothing for a document that no list has.
    pub(crate) kind: &'static str,
    /// A sale's start in milliseconds since 1970; an item's sale.
    pub(crate) place: String,
    /// Whether a sale is archived, or an item listed.
    pub(crate) flag: bool,
}

impl Listing {
    /// The three arguments of a script.
    pub(crate) fn arguments(&self) -> [&str; 3] {
        [self.kind, &self.place, if self.flag { "1" } else { "" }]
    }
}

impl Document for Sale {
    const KEY: &'static str = crate::keys::SALES;
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn listing(&self) -> Listing {
        Listing { kind: "sale", place: self.starts_at.millis().to_string(), flag: self.archived }
    }
}

impl Document for Item {
    const KEY: &'static str = crate::keys::ITEMS;
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn listing(&self) -> Listing {
        Listing { kind: "item", place: self.sale_id.to_string(), flag: self.is_listed() }
    }
}
