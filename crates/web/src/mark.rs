//! The "sold out" mark: lets `reserve` refuse a crowd without asking Redis.
//!
//! A mark is written when the reserve script says that no unit is left, and trusted for one second by its own time
//! stamp. So it never has to be cleared: when stock comes back, it lapses by itself. It names those who have a
//! reservation of the item, in a Bloom filter, because asking again must show them what they have; who is in the filter
//! goes to Redis like everybody else while units are free.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use sale::Engine;
use sale::ids::{ItemId, Lane, UserId};
use sale::scripts::Holders;
use sale::time::Timestamp;
use spin_sdk::key_value::Store;

use crate::redis::SharedRedis;

/// How long a mark is trusted after it was made, in milliseconds.
const TRUSTED_MS: i64 = 1_000;
/// How long an instance goes by what it last read.
const KEPT: Duration = Duration::from_millis(250);
/// Shoppers that a mark can name. With more, nobody is refused without Redis.
const MOST_HOLDERS: u32 = 20_000;
/// Items that an instance keeps marks of.
const MOST_ITEMS: usize = 256;

/// What this instance last read of an item.
struct Kept {
    looked: Instant,
    mark: Option<Mark>,
}

/// A mark as it was made.
struct Mark {
    made_at: Timestamp,
    holders: Filter,
}

thread_local! {
    static MARKS: RefCell<HashMap<ItemId, Kept>> = RefCell::new(HashMap::new());
}

/// Whether `user` can be told "sold out" without asking Redis. `now` is this machine's clock.
pub async fn refuses(item: &ItemId, user: &UserId, now: Timestamp) -> bool {
    let fresh = MARKS.with_borrow(|marks| marks.get(item).is_some_and(|kept| kept.looked.elapsed() < KEPT));
    if !fresh {
        // Noted before the store is asked: requests beside this one do not ask as well, they go by what was known.
        MARKS.with_borrow_mut(|marks| {
            if marks.len() >= MOST_ITEMS {
                marks.clear();
            }
            let kept =
                marks.entry(item.clone()).or_insert_with(|| Kept { looked: Instant::now(), mark: None });
            kept.looked = Instant::now();
        });
        keep(item, read(item).await);
    }
    MARKS.with_borrow(|marks| {
        marks
            .get(item)
            .and_then(|kept| kept.mark.as_ref())
            .is_some_and(|mark| mark.is_trusted(now) && !mark.holders.may_contain(user.as_str()))
    })
}

/// Marks `lane`'s item as sold out if that is so, unless somebody has just done it. A mark that can't be made only
/// costs speed.
pub async fn set(lane: &Lane, now: Timestamp) {
    let trusted = |mark: &Mark| mark.is_trusted(now);
    let known = MARKS
        .with_borrow(|marks| marks.get(&lane.item).and_then(|kept| kept.mark.as_ref()).is_some_and(trusted));
    if known {
        return;
    }
    let there = read(&lane.item).await;
    if there.as_ref().is_some_and(trusted) {
        return keep(&lane.item, there);
    }
    let Ok(Holders::SoldOut(users)) = Engine::new(SharedRedis).list_holders(lane, MOST_HOLDERS).await else {
        return;
    };
    let mark = Mark { made_at: now, holders: Filter::of(&users) };
    if let Ok(store) = Store::open_default().await {
        // Nobody waits for the outcome: without a mark, Redis answers.
        let _ = store.set(key(&lane.item), mark.to_bytes()).await;
    }
    keep(&lane.item, Some(mark));
}

async fn read(item: &ItemId) -> Option<Mark> {
    let store = Store::open_default().await.ok()?;
    Mark::from_bytes(&store.get(key(item)).await.ok()??)
}

fn keep(item: &ItemId, mark: Option<Mark>) {
    MARKS.with_borrow_mut(|marks| marks.insert(item.clone(), Kept { looked: Instant::now(), mark }));
}

fn key(item: &ItemId) -> String {
    format!("sold-out/{item}")
}

impl Mark {
    fn is_trusted(&self, now: Timestamp) -> bool {
        // A mark from the future was made by a machine whose clock is wrong, or ours is.
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

/// A Bloom filter of user ids, with a power of two of bytes and about 16 bits a user: one in two thousand strangers is
/// taken for a holder, and then only asks Redis.
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

    /// Double hashing over FNV-1a, which needs no key: whoever forces a collision gains a trip to Redis.
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
