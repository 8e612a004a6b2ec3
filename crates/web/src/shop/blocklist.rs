//! Blocked users and addresses.
//!
//! Redis holds the list, and an instance reads it through the key-value store. So a block works everywhere within a
//! second, and costs a shopper's request nothing.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

use sale::Engine;
use sale::ids::UserId;
use sale::scripts::{Blocked, BlockedEntry};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::caller::address;
use crate::caller::network::Network;
use crate::caller::operator::Operator;
use crate::http::problem::Problem;
use crate::http::request::{Request, local_now};
use crate::platform::redis::SharedRedis;
use crate::platform::remembered::Remembered;
use crate::platform::store;

/// How old the stored list may be, in milliseconds. An instance remembers it for another quarter of a second; together
/// that is less than a second.
const STORED_MS: i64 = 600;

const KEY: &str = "blocklist";

/// A user or an address that is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    User(UserId),
    /// A network; a single address is the smallest network that contains it.
    Address(Network),
}

impl Entry {
    /// The entry as the list spells it.
    pub fn spelled(&self) -> String {
        match self {
            Entry::User(user) => format!("user/{user}"),
            Entry::Address(network) => format!("address/{network}"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    taken: Timestamp,
    blocked: HashSet<String>,
}

/// The list, prepared for lookups.
#[derive(Default)]
struct List {
    blocked: HashSet<String>,
    /// The lengths of the blocked networks, in bits. There are few, however many networks there are.
    lengths: BTreeSet<u8>,
}

impl List {
    fn of(stored: Stored) -> Self {
        let network = |entry: &String| entry.strip_prefix("address/")?.parse::<Network>().ok();
        let lengths = stored.blocked.iter().filter_map(network).map(|network| network.bits()).collect();
        List { blocked: stored.blocked, lengths }
    }

    fn has_user(&self, user: &UserId) -> bool {
        self.blocked.contains(&Entry::User(user.clone()).spelled())
    }

    fn has_network(&self, network: Network) -> bool {
        self.lengths.iter().filter(|bits| **bits <= network.bits()).any(|bits| {
            let around = Network::around(network.address(), *bits);
            self.blocked.contains(&Entry::Address(around).spelled())
        })
    }
}

thread_local! {
    static MEMORY: RefCell<Option<Remembered<Rc<List>>>> = const { RefCell::new(None) };
}

/// Refuses a shopper who is blocked or whose address is blocked.
///
/// If the list can't be read, it blocks nobody: a shop that can't reach Redis sells nothing anyway.
pub async fn check(request: &Request, user: &UserId) -> Result<(), Problem> {
    let list = current().await;
    if list.blocked.is_empty() {
        return Ok(());
    }
    let network = address::of(request).await?.network();
    if list.has_user(user) || network.is_some_and(|network| list.has_network(network)) {
        Err(Problem::Blocked)
    } else {
        Ok(())
    }
}

/// Blocks `entry`, at once on this machine.
pub async fn block(operator: &Operator, entry: &Entry, reason: &str) -> Result<Blocked, Problem> {
    let who = entry.spelled();
    let mut change = operator.change("blocklist.add", &who);
    change.reason = (!reason.is_empty()).then(|| reason.to_owned());
    let blocked = Engine::new(SharedRedis).making(&change).block(&who, operator.name(), reason).await?;
    renew().await?;
    Ok(blocked)
}

/// Unblocks `entry`, at once on this machine.
pub async fn unblock(operator: &Operator, entry: &Entry) -> Result<(), Problem> {
    let who = entry.spelled();
    operator.engine("blocklist.remove", &who).unblock(&who).await?;
    renew().await.map(drop)
}

/// All entries, with when, by whom and why each was blocked.
pub async fn all() -> Result<Vec<BlockedEntry>, Problem> {
    Ok(Engine::new(SharedRedis).blocklist().await?)
}

async fn current() -> Rc<List> {
    if let Some(list) = MEMORY.with_borrow(|memory| memory.as_ref()?.recent().cloned()) {
        return list;
    }
    let old = MEMORY.with_borrow_mut(|memory| {
        let remembered = memory.as_mut()?;
        remembered.extend();
        Some(remembered.value.clone())
    });
    let now = local_now();
    let stored = store::cached::<Stored>(KEY).await;
    let list = match stored.filter(|list| (0..STORED_MS).contains(&now.since(list.taken))) {
        Some(stored) => Rc::new(List::of(stored)),
        None => match renew().await {
            Ok(list) => list,
            Err(_) => old.unwrap_or_default(),
        },
    };
    MEMORY.set(Some(Remembered::new(list.clone())));
    list
}

/// Reads the list from Redis, and tells the store and this instance.
async fn renew() -> Result<Rc<List>, Problem> {
    let taken = local_now();
    let blocked = Engine::new(SharedRedis).blocked().await?.into_iter().collect();
    let stored = Stored { taken, blocked };
    store::cache(KEY, &stored).await;
    let list = Rc::new(List::of(stored));
    MEMORY.set(Some(Remembered::new(list.clone())));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_blocked_by_itself_and_by_every_network_around_it() {
        let blocked = ["user/ann", "address/192.0.2.7", "address/198.51.100.0/24", "address/2001:db8::/32"];
        let taken = Timestamp::from_millis(0);
        let list = List::of(Stored { taken, blocked: blocked.map(str::to_owned).into() });
        for (address, expected) in [
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("2001:db8:9::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(list.has_network(address.parse().unwrap()), expected, "{address}");
        }
        assert!(list.has_user(&"ann".parse().unwrap()));
        assert!(!list.has_user(&"bob".parse().unwrap()));
    }
}
