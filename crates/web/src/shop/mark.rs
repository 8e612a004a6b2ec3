//! The "sold out" mark: lets functions refuse a crowd without asking Redis.
//!
//! A function writes a mark when its script says that no unit is left. A mark is trusted for one second by its own time
//! stamp. So nobody has to clear it: when stock comes back, it expires.
//!
//! A shopper who has a reservation of the item must see it when they ask again. So a mark carries a part of the filter of
//! all who got units ([`sale::holders`]), and a shopper in the filter goes on to Redis. A mark is kept for each part. So
//! reading and refreshing one costs the same, whether ten shoppers hold units or a million.
//!
//! One request refreshes a mark, before it expires; the others go by the old one meanwhile. Instances are many and short-lived,
//! so a request claims the refresh in the key-value store before it asks Redis. Two that claim in the same instant both do it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use sale::Engine;
use sale::holders::{FilterPart, Place};
use sale::ids::{Lane, UserId};
use sale::scripts::Holders;
use sale::time::Timestamp;

use crate::http::request::local_now;
use crate::platform::redis::SharedRedis;
use crate::platform::remembered::RememberedMap;
use crate::platform::{random, store};

/// How long a mark is trusted after it was made, in milliseconds.
const TRUSTED_MS: i64 = 1_000;
/// The age from which a mark may be refreshed, in milliseconds. Each reader draws its own age between these two. So one or two
/// of a crowd refresh it early, and the others never wait.
const REFRESHED_FROM_MS: i64 = 500;
const REFRESHED_BY_MS: i64 = 900;
/// How long others leave a refresh to the request that claimed it, in milliseconds. If that request dies, another does it then.
const CLAIMED_MS: i64 = 200;
/// The most lanes, and the most marks of parts, that an instance remembers. A mark has 8 KiB at most.
const MOST_LANES: usize = 256;
const MOST_MARKS: usize = 256;

/// A mark as it was made.
struct Mark {
    made_at: Timestamp,
    part: FilterPart,
}

/// Of all marks of a lane: when the last was made, and how many parts the filter had then.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Summary {
    made_at: Timestamp,
    parts: u32,
}

/// One part of a lane's filter.
type LanePart = (Lane, u32);

thread_local! {
    /// What this instance last read of a lane's marks, if there was anything.
    static SUMMARIES: RefCell<RememberedMap<Lane, Option<Summary>, MOST_LANES>> = RefCell::default();
    /// The mark that this instance last read of a part, if there was one.
    static MARKS: RefCell<RememberedMap<LanePart, Option<Rc<Mark>>, MOST_MARKS>> = RefCell::default();
    /// Lanes of which Redis said lately that no mark can be made.
    static UNMARKED: RefCell<RememberedMap<Lane, (), MOST_LANES>> = RefCell::default();
    /// Parts whose mark a request of this instance is refreshing.
    static REFRESHING: RefCell<BTreeSet<(Lane, Option<u32>)>> = RefCell::default();
}

/// Whether `user` can be told "sold out" without asking Redis. `now` is this machine's clock.
pub async fn refuses(lane: &Lane, user: &UserId, now: Timestamp) -> bool {
    let Some(summary) = summary(lane).await.filter(|summary| is_trusted(summary.made_at, now)) else {
        return false;
    };
    let part = Place::of(user, summary.parts).part;
    let Some(mark) = mark(lane, part).await.filter(|mark| mark.speaks_for(summary, now)) else {
        return false;
    };
    let refreshed_from = REFRESHED_FROM_MS + jitter(REFRESHED_BY_MS - REFRESHED_FROM_MS);
    if now.since(mark.made_at) >= refreshed_from {
        match refresh(lane, user, Some(part), now).await {
            Refreshed::Done(younger) => return !younger.part.may_contain(user),
            Refreshed::Unmarked => return false,
            // The mark is trusted for another moment.
            Refreshed::Nothing => {}
        }
    }
    !mark.part.may_contain(user)
}

/// Marks `lane` as sold out for the part that `user` belongs to, if it is and has no fresh mark. A failure costs speed only.
pub async fn set(lane: &Lane, user: &UserId, now: Timestamp) {
    if UNMARKED.with_borrow(|lanes| lanes.get(lane).is_some_and(|lane| lane.recent().is_some())) {
        return;
    }
    let summary = SUMMARIES.with_borrow(|summaries| summaries.get(lane)?.value);
    let part = summary.map(|summary| Place::of(user, summary.parts).part);
    let key = part.map(|part| (lane.clone(), part));
    let remembered = key.and_then(|key| MARKS.with_borrow(|marks| marks.get(&key)?.value.clone()));
    if !remembered.is_some_and(|mark| is_trusted(mark.made_at, now)) {
        refresh(lane, user, part, now).await;
    }
}

enum Refreshed {
    Done(Rc<Mark>),
    /// Units are free, or somebody waits for one.
    Unmarked,
    /// Another request does it, or Redis gave no answer.
    Nothing,
}

/// Reads the mark of the user's part from the store, if another instance has refreshed it, and else from Redis.
async fn refresh(lane: &Lane, user: &UserId, part: Option<u32>, now: Timestamp) -> Refreshed {
    let Some(_turn) = Turn::take((lane.clone(), part)) else { return Refreshed::Nothing };
    if let Some(summary) = read_summary(lane).await {
        let part = Place::of(user, summary.parts).part;
        let stored = read_mark(lane, part).await.filter(|mark| mark.speaks_for(summary, now));
        if let Some(mark) = stored.filter(|mark| now.since(mark.made_at) < REFRESHED_FROM_MS) {
            remember(lane, &mark);
            return Refreshed::Done(mark);
        }
    }
    let made_at = local_now();
    if !claim(lane, part, made_at).await {
        return Refreshed::Nothing;
    }
    match Engine::new(SharedRedis).show_holders(lane, user).await {
        Ok(Holders::SoldOut(part)) => {
            let mark = Rc::new(Mark { made_at, part });
            // A failure costs speed only: without a mark, Redis decides.
            let _ = store::set(&mark_key(lane, mark.part.number), &mark.to_bytes()).await;
            let _ = store::set(&summary_key(lane), &mark.summary().to_bytes()).await;
            remember(lane, &mark);
            Refreshed::Done(mark)
        }
        Ok(Holders::Available) => {
            UNMARKED.with_borrow_mut(|lanes| lanes.insert(lane.clone(), ()));
            Refreshed::Unmarked
        }
        Err(_) => Refreshed::Nothing,
    }
}

/// Claims the refresh of a mark for this request; not if another did so a moment ago.
async fn claim(lane: &Lane, part: Option<u32>, now: Timestamp) -> bool {
    let key = match part {
        Some(part) => format!("{}/claimed", mark_key(lane, part)),
        None => format!("{}/claimed", summary_key(lane)),
    };
    let claimed_at = match store::get(&key).await {
        Ok(Some(bytes)) => bytes.first_chunk::<8>().map(|at| Timestamp::from_millis(i64::from_le_bytes(*at))),
        Ok(None) | Err(_) => None,
    };
    if claimed_at.is_some_and(|at| (-CLAIMED_MS..CLAIMED_MS).contains(&now.since(at))) {
        return false;
    }
    // If the store fails, the refresh is made without a claim.
    let _ = store::set(&key, &now.millis().to_le_bytes()).await;
    true
}

/// The right to refresh one mark, which one request of the instance has at a time. It ends with the request.
struct Turn((Lane, Option<u32>));

impl Turn {
    fn take(key: (Lane, Option<u32>)) -> Option<Turn> {
        REFRESHING.with_borrow_mut(|turns| turns.insert(key.clone())).then_some(Turn(key))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        REFRESHING.with_borrow_mut(|turns| turns.remove(&self.0));
    }
}

async fn summary(lane: &Lane) -> Option<Summary> {
    let recent = SUMMARIES.with_borrow_mut(|summaries| match summaries.get_mut(lane) {
        Some(summary) if summary.recent().is_some() => Some(summary.value),
        // Requests beside this one find it at once, and do not read as well.
        Some(summary) => {
            summary.extend();
            None
        }
        None => {
            summaries.insert(lane.clone(), None);
            None
        }
    });
    if let Some(summary) = recent {
        return summary;
    }
    let read = read_summary(lane).await;
    SUMMARIES.with_borrow_mut(|summaries| summaries.insert(lane.clone(), read));
    read
}

async fn mark(lane: &Lane, part: u32) -> Option<Rc<Mark>> {
    let key = (lane.clone(), part);
    let recent = MARKS.with_borrow_mut(|marks| match marks.get_mut(&key) {
        Some(mark) if mark.recent().is_some() => Some(mark.value.clone()),
        Some(mark) => {
            mark.extend();
            None
        }
        None => {
            marks.insert(key.clone(), None);
            None
        }
    });
    if let Some(mark) = recent {
        return mark;
    }
    let read = read_mark(lane, part).await;
    MARKS.with_borrow_mut(|marks| marks.insert(key, read.clone()));
    read
}

fn remember(lane: &Lane, mark: &Rc<Mark>) {
    SUMMARIES.with_borrow_mut(|summaries| summaries.insert(lane.clone(), Some(mark.summary())));
    let key = (lane.clone(), mark.part.number);
    MARKS.with_borrow_mut(|marks| marks.insert(key, Some(mark.clone())));
}

async fn read_summary(lane: &Lane) -> Option<Summary> {
    Summary::from_bytes(&store::get(&summary_key(lane)).await.ok()??)
}

async fn read_mark(lane: &Lane, part: u32) -> Option<Rc<Mark>> {
    Mark::from_bytes(part, &store::get(&mark_key(lane, part)).await.ok()??).map(Rc::new)
}

fn summary_key(lane: &Lane) -> String {
    format!("sold-out/{lane}")
}

fn mark_key(lane: &Lane, part: u32) -> String {
    format!("sold-out/{lane}/{part}")
}

fn is_trusted(made_at: Timestamp, now: Timestamp) -> bool {
    // If a mark is from the future, its maker's clock is wrong or ours is.
    (-TRUSTED_MS..TRUSTED_MS).contains(&now.since(made_at))
}

/// A number from 0 up to `below`. It only has to differ among readers.
fn jitter(below: i64) -> i64 {
    i64::from(u16::from_le_bytes(random::bytes())) % below
}

impl Summary {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.made_at.millis().to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.parts.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (made_at, rest) = bytes.split_first_chunk::<8>()?;
        let (parts, _) = rest.split_first_chunk::<4>()?;
        let made_at = Timestamp::from_millis(i64::from_le_bytes(*made_at));
        Some(Summary { made_at, parts: u32::from_le_bytes(*parts) })
    }
}

impl Mark {
    fn summary(&self) -> Summary {
        Summary { made_at: self.made_at, parts: self.part.parts }
    }

    /// Whether it is trusted at `now`, and of the filter that the summary tells of.
    fn speaks_for(&self, summary: Summary, now: Timestamp) -> bool {
        is_trusted(self.made_at, now) && self.part.parts == summary.parts
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.summary().to_bytes();
        bytes.extend_from_slice(self.part.bits());
        bytes
    }

    fn from_bytes(number: u32, bytes: &[u8]) -> Option<Self> {
        let Summary { made_at, parts } = Summary::from_bytes(bytes)?;
        Some(Mark { made_at, part: FilterPart::new(parts, number, bytes.get(12..)?.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_from_its_bytes_and_lapses() {
        let made_at = Timestamp::from_millis(1_795_255_200_000);
        let mark = Mark { made_at, part: FilterPart::new(7, 3, vec![1, 2, 3]) };
        let back = Mark::from_bytes(3, &mark.to_bytes()).unwrap();
        assert_eq!(back.part, mark.part);
        let summary = Summary::from_bytes(&mark.summary().to_bytes()).unwrap();
        assert_eq!(summary, mark.summary());
        assert!(back.speaks_for(summary, made_at.plus_millis(999)));
        assert!(!back.speaks_for(summary, made_at.plus_millis(1_000)));
        assert!(!back.speaks_for(summary, made_at.plus_millis(-3_600_000)));
        assert!(!back.speaks_for(Summary { parts: 8, ..summary }, made_at));
        for damaged in [&b""[..], b"1234567", b"12345678123"] {
            assert!(Mark::from_bytes(3, damaged).is_none());
        }
    }

    #[test]
    fn one_request_of_an_instance_refreshes_a_mark_until_it_is_done() {
        let key = || ("iabcdefghij:0".parse::<Lane>().unwrap(), Some(1));
        let turn = Turn::take(key());
        assert!(turn.is_some());
        assert!(Turn::take(key()).is_none());
        drop(turn);
        assert!(Turn::take(key()).is_some());
    }
}
