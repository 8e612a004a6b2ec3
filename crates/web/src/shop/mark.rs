//! The "sold out" mark: lets `reserve` refuse a crowd without asking Redis.
//!
//! `reserve` writes a mark when its script says that no unit is left. The mark is trusted for one second by its own
//! time stamp. So nobody has to clear it: when stock comes back, it expires.
//!
//! A shopper who has a reservation of the item must see it when they ask again. So the mark names these shoppers in a
//! Bloom filter, and a shopper in the filter goes on to Redis.

use std::cell::RefCell;

use sale::Engine;
use sale::ids::{ItemId, Lane, UserId};
use sale::scripts::Holders;
use sale::time::Timestamp;

use crate::platform::redis::SharedRedis;
use crate::platform::remembered::RememberedMap;
use crate::platform::store;

/// How long a mark is trusted after it was made, in milliseconds.
const TRUSTED_MS: i64 = 1_000;
/// The most shoppers that a mark can name. If there are more, no mark is made and every shopper goes on to Redis.
const MOST_HOLDERS: u32 = 20_000;
/// The most items whose marks an instance remembers.
const MOST_ITEMS: usize = 256;

/// A mark as it was made.
struct Mark {
    made_at: Timestamp,
    holders: Filter,
}

thread_local! {
    /// The mark that this instance last read of an item, if there was one.
    static MARKS: RefCell<RememberedMap<ItemId, Option<Mark>, MOST_ITEMS>> = RefCell::default();
}

/// Whether `user` can be told "sold out" without asking Redis. `now` is this machine's clock.
pub async fn refuses(item: &ItemId, user: &UserId, now: Timestamp) -> bool {
    let is_recent = MARKS.with_borrow(|marks| marks.get(item).is_some_and(|mark| mark.recent().is_some()));
    if !is_recent {
        MARKS.with_borrow_mut(|marks| match marks.get_mut(item) {
            Some(mark) => mark.extend(),
            // Requests beside this one find it at once, and do not read as well.
            None => marks.insert(item.clone(), None),
        });
        remember(item, read(item).await);
    }
    is_marked(item, |mark| mark.is_trusted(now) && !mark.holders.may_contain(user.as_str()))
}

/// Marks `lane`'s item as sold out, if it is and has no fresh mark. A failure costs speed only.
pub async fn set(lane: &Lane, now: Timestamp) {
    if is_marked(&lane.item, |mark| mark.is_trusted(now)) {
        return;
    }
    let stored = read(&lane.item).await;
    if stored.as_ref().is_some_and(|mark| mark.is_trusted(now)) {
        return remember(&lane.item, stored);
    }
    let Ok(Holders::SoldOut(users)) = Engine::new(SharedRedis).list_holders(lane, MOST_HOLDERS).await else {
        return;
    };
    let mark = Mark { made_at: now, holders: Filter::of(&users) };
    // A failure costs speed only: without a mark, Redis decides.
    let _ = store::set(&key(&lane.item), &mark.to_bytes()).await;
    remember(&lane.item, Some(mark));
}

/// Whether this instance remembers a mark of `item` that is as `asked`.
fn is_marked(item: &ItemId, asked: impl Fn(&Mark) -> bool) -> bool {
    MARKS.with_borrow(|marks| marks.get(item).and_then(|mark| mark.value.as_ref()).is_some_and(asked))
}

async fn read(item: &ItemId) -> Option<Mark> {
    Mark::from_bytes(&store::get(&key(item)).await.ok()??)
}

fn remember(item: &ItemId, mark: Option<Mark>) {
    MARKS.with_borrow_mut(|marks| marks.insert(item.clone(), mark));
}

fn key(item: &ItemId) -> String {
    format!("sold-out/{item}")
}

impl Mark {
    fn is_trusted(&self, now: Timestamp) -> bool {
        // If a mark is from the future, its maker's clock is wrong or ours is.
        (-TRUSTED_MS..TRUSTED_MS).contains(&now.since(self.made_at))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.made_at.millis().to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.holders.bits);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (made_at, bits) = bytes.split_first_chunk::<8>()?;
        let made_at = Timestamp::from_millis(i64::from_le_bytes(*made_at));
        bits.len().is_power_of_two().then(|| Mark { made_at, holders: Filter { bits: bits.to_vec() } })
    }
}

/// A Bloom filter of user ids. Its bytes are a power of two, about 16 bits for each user. It takes one in two thousand
/// strangers for a holder; they only go on to Redis.
struct Filter {
    bits: Vec<u8>,
}

/// Bits set for one user.
const PROBES: u64 = 4;

impl Filter {
    fn of(users: &[String]) -> Self {
        let mut filter = Filter { bits: vec![0; (users.len() * 2).next_power_of_two().max(8)] };
        for user in users {
            for bit in filter.probes(user) {
                filter.bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }

    fn may_contain(&self, user: &str) -> bool {
        self.probes(user).all(|bit| self.bits[bit / 8] & (1 << (bit % 8)) != 0)
    }

    /// Double hashing over FNV-1a. It needs no key: a caller who forces a collision gains only a trip to Redis.
    fn probes(&self, user: &str) -> impl Iterator<Item = usize> + use<> {
        let hash = user.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let step = (hash.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7) | 1;
        let mask = self.bits.len() as u64 * 8 - 1;
        (0..PROBES).map(move |probe| (hash.wrapping_add(probe.wrapping_mul(step)) & mask) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_never_missed_and_strangers_seldom_taken_for_one() {
        let users: Vec<String> = (0..5_000).map(|n| format!("u-holder{n}")).collect();
        let filter = Filter::of(&users);
        assert!(users.iter().all(|user| filter.may_contain(user)));
        let taken = (0..100_000).filter(|n| filter.may_contain(&format!("u-stranger{n}"))).count();
        assert!(taken < 1_000, "{taken} of 100,000 strangers");
    }

    #[test]
    fn a_mark_comes_back_from_its_bytes_and_lapses() {
        let made_at = Timestamp::from_millis(1_795_255_200_000);
        let mark = Mark { made_at, holders: Filter::of(&["u-1".to_owned()]) };
        let back = Mark::from_bytes(&mark.to_bytes()).unwrap();
        assert!(back.holders.may_contain("u-1"));
        assert!(back.is_trusted(made_at.plus_millis(999)));
        assert!(!back.is_trusted(made_at.plus_millis(1_000)));
        assert!(!back.is_trusted(made_at.plus_millis(-3_600_000)));
        for damaged in [&b""[..], b"1234567", b"12345678123"] {
            assert!(Mark::from_bytes(damaged).is_none());
        }
    }

    #[test]
    fn an_empty_filter_lets_nobody_through() {
        assert!(!Filter::of(&[]).may_contain("u-1"));
    }
}
