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
    /// Counts the changes of this document, from 1.
    pub version: u64,
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
}

impl Document for Sale {
    const KEY: &'static str = crate::keys::SALES;
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn version(&self) -> u64 {
        self.version
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
}
