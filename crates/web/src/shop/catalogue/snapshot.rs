//! An item as the key-value store has it.

use sale::catalogue::Item;
use sale::item::{ItemState, Switch};
use sale::rules::Rules;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::shop::views::{self, Stock};

/// How old a snapshot may be and still decide something, in milliseconds.
const TRUSTED_MS: i64 = 1_000;

/// A published item, and what the engine said of it at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The item as its operator wrote it.
    pub item: Item,
    /// The engine's settings and counters of it; nothing once its keys have left Redis.
    pub standing: Option<Standing>,
    /// The rules that operators have set, the item's own before the shop's. At most a second old, like the whole
    /// snapshot.
    #[serde(default)]
    pub rules: Rules,
    /// The Redis server's clock then.
    pub(super) at: Timestamp,
    /// This machine's clock then.
    pub(super) taken: Timestamp,
}

/// The engine's settings and counters of an item, over all its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What the operator set.
    pub switch: Switch,
    /// When it opens and ends.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Units in all.
    pub total: i64,
    /// Units that nobody has.
    pub available: i64,
    /// Reservations in queues.
    pub waiting: u64,
}

impl Snapshot {
    /// The Redis server's clock at `local`, a moment of this machine's clock. The sale goes by the server's.
    pub fn server_time(&self, local: Timestamp) -> Timestamp {
        self.at.plus_millis(local.since(self.taken))
    }

    /// When it opens.
    pub fn starts_at(&self) -> Timestamp {
        self.standing.as_ref().map_or(self.item.starts_at, |standing| standing.starts_at)
    }

    /// The item's state at `local`, a moment of this machine's clock.
    pub fn state(&self, local: Timestamp) -> ItemState {
        let now = self.server_time(local);
        match &self.standing {
            Some(standing) => {
                ItemState::at(now, standing.switch, standing.starts_at, standing.ends_at, standing.available)
            }
            None if now >= self.item.ends_at => ItemState::Ended,
            // The catalogue has it and the engine does not: it is just being published, or Redis lost its data.
            None => ItemState::Paused,
        }
    }

    /// Units in all, and units that nobody has.
    pub fn stock(&self) -> Stock {
        match &self.standing {
            Some(standing) => Stock { total: standing.total, available: standing.available.max(0) },
            None => Stock { total: self.item.stock, available: 0 },
        }
    }

    /// The item as the catalogue shows it at `local`.
    pub fn view(&self, local: Timestamp) -> views::Item {
        views::Item::new(&self.item, self.state(local), self.stock())
    }

    /// Whether a decision may rest on it at `local`: for one second.
    pub fn is_trusted(&self, local: Timestamp) -> bool {
        (0..=TRUSTED_MS).contains(&local.since(self.taken))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sale::item::Mode;
    use sale::money::{Currency, Money};

    pub(in crate::shop::catalogue) fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    pub(in crate::shop::catalogue) fn an_item(id: &str, sale_id: &str, title: &str, published: bool) -> Item {
        let price = Money::new(100, Currency::parse("CNY").unwrap());
        Item {
            id: id.parse().unwrap(),
            sale_id: sale_id.parse().unwrap(),
            title: title.to_owned(),
            subtitle: String::new(),
            description: String::new(),
            image: String::new(),
            list_price: price.clone(),
            sale_price: price,
            stock: 7,
            per_user_limit: 1,
            mode: Mode::Queued,
            starts_at: at(1_000),
            ends_at: at(2_000),
            lanes: 1,
            published,
            archived: false,
            version: 1,
        }
    }

    #[test]
    fn a_snapshot_goes_by_the_clock_of_the_server_and_lapses_by_its_own() {
        let standing = Standing {
            switch: Switch::Open,
            starts_at: at(1_000),
            ends_at: at(2_000),
            total: 7,
            available: 3,
            waiting: 0,
        };
        // This machine is an hour ahead of the server.
        let hour = 3_600_000;
        let snapshot = Snapshot {
            item: an_item("iaaaaaaaaaa", "saaaaaaaaaa", "Lamp", true),
            standing: Some(standing),
            rules: Rules::default(),
            at: at(900),
            taken: at(hour + 900),
        };
        assert_eq!(snapshot.server_time(at(hour + 950)), at(950));
        assert_eq!(snapshot.state(at(hour + 999)), ItemState::Upcoming);
        assert_eq!(snapshot.state(at(hour + 1_000)), ItemState::Open);
        assert_eq!(snapshot.state(at(hour + 2_000)), ItemState::Ended);
        assert!(snapshot.is_trusted(at(hour + 1_900)));
        assert!(!snapshot.is_trusted(at(hour + 1_901)));
        assert!(!snapshot.is_trusted(at(hour + 899)));
    }

    #[test]
    fn an_item_without_keys_in_redis_is_not_for_sale() {
        let snapshot = Snapshot {
            item: an_item("iaaaaaaaaaa", "saaaaaaaaaa", "Lamp", true),
            standing: None,
            rules: Rules::default(),
            at: at(1_500),
            taken: at(1_500),
        };
        assert_eq!(snapshot.state(at(1_500)), ItemState::Paused);
        assert_eq!(snapshot.state(at(2_000)), ItemState::Ended);
        assert_eq!(snapshot.stock(), Stock { total: 7, available: 0 });
    }
}
