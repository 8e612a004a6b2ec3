//! The pool of pictures: drawn ahead for the moment when a crowd asks for challenges all at once.
//!
//! The key-value store has slots, each with a batch of pictures and the prepared part of their challenges. Nothing
//! there reveals a picture's solution.
//!
//! An instance takes a batch out of a slot and shows each picture to one shopper. Two instances may read the same
//! batch, and the store can't say which was first. So an instance marks the batch as its own in Redis: the script
//! `claim`, one round trip for 32 challenges. If two shoppers see one picture all the same, its challenge has one id,
//! and the reserve script accepts that once.

use std::fmt;

use sale::Engine;

use crate::http::problem::Problem;
use crate::http::trace;
use crate::platform::redis::SharedRedis;
use crate::platform::{random, settings, store};
use crate::shop::challenge::{Challenges, Kind, Prepared};

/// Pictures in a batch. Together they have 100 KB, and are drawn within some milliseconds.
pub const BATCH: usize = 32;
/// Slots that are looked at for a batch. Another instance may have emptied the first.
const LOOKS: usize = 2;

const VERSION: u8 = 1;
/// Version, the name of the key, and the name of the batch.
const HEAD_LENGTH: usize = 1 + 8 + BATCH_NAME_LENGTH;
const BATCH_NAME_LENGTH: usize = 8;

/// A picture that no shopper has seen, and its challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The part of its challenge from which a token is issued.
    pub challenge: Prepared,
    /// The PNG file.
    pub png: Vec<u8>,
}

impl Ready {
    /// Draws a new picture of this many characters.
    pub fn draw(challenges: &Challenges, characters: u8) -> Self {
        let secret: [u8; puzzle::MOST_CHARACTERS] = random::bytes();
        let secret = secret.get(..usize::from(characters)).unwrap_or(&secret);
        let drawn = puzzle::draw(secret, u64::from_le_bytes(random::bytes()));
        Self { challenge: challenges.prepare(&drawn.solution), png: drawn.png }
    }
}

/// A message on the pool's doorbell: the slots to look at. After the last slot comes the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The first slot.
    pub from: usize,
    /// How many slots.
    pub count: usize,
}

impl Asked {
    /// Reads a message. One that makes no sense means all slots.
    pub fn of(message: &[u8], slots: usize) -> Self {
        let numbers = std::str::from_utf8(message).ok().and_then(|text| {
            let (from, count) = text.split_once(' ')?;
            Some((from.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
        });
        let (from, count) = numbers.unwrap_or((0, slots));
        Self { from: from % slots.max(1), count: count.min(slots) }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.from, self.count)
    }
}

/// The outcome of looking for a batch.
pub enum Taken {
    /// Pictures that only this instance has.
    Batch(Vec<Ready>),
    /// This slot is empty, and most likely others too.
    Empty {
        /// The slot.
        slot: usize,
    },
}

/// The pool as the settings describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many slots there are, at least 1.
    pub slots: usize,
    /// How many characters its pictures have.
    pub characters: u8,
}

/// The pool, if there is one: pictures are the usual challenge, and the setting `puzzle_pool` is not 0.
pub async fn pool() -> Result<Option<Pool>, Problem> {
    let pictures = settings::number(settings::PUZZLE_POOL, 0, 1_000_000).await?;
    if pictures == 0 || settings::get::<Kind>(settings::CAPTCHA_KIND).await? != Kind::Image {
        return Ok(None);
    }
    let set = settings::number(settings::CAPTCHA_DIFFICULTY, 0, 255).await?;
    let characters = Kind::Image.difficulty(u8::try_from(set).unwrap_or(0));
    Ok(Some(Pool { slots: usize::try_from(pictures).unwrap_or(0).div_ceil(BATCH), characters }))
}

/// Takes a batch out of the store.
pub async fn take(challenges: &Challenges, pool: Pool) -> Taken {
    let mut slot = 0;
    for _ in 0..LOOKS {
        slot = usize::from(u16::from_le_bytes(random::bytes())) % pool.slots.max(1);
        let Ok(Some(bytes)) = store::get(&key(slot)).await else { continue };
        let fitting = decode(&bytes, challenges.key_name()).filter(|(_, batch)| {
            !batch.is_empty() && batch.iter().all(|ready| ready.challenge.characters == pool.characters)
        });
        if let Some((name, _)) = &fitting {
            match Engine::new(SharedRedis).claim_puzzles(name).await {
                Ok(true) => {}
                // Another instance read it in the same moment. There may be another batch by now.
                Ok(false) => continue,
                Err(_) => break,
            }
        }
        // If the batch can't be deleted, it can't be used. A batch that does not fit was drawn for another difficulty,
        // or under a key that is not in use any more; it is deleted as well.
        if store::delete(&key(slot)).await.is_err() {
            break;
        }
        if let Some((_, batch)) = fitting {
            return Taken::Batch(batch);
        }
    }
    Taken::Empty { slot }
}

/// Whether there is a batch in a slot.
pub async fn is_full(slot: usize) -> Result<bool, Problem> {
    Ok(store::exists(&key(slot)).await?)
}

/// Puts a batch into a slot.
pub async fn put(challenges: &Challenges, slot: usize, batch: &[Ready]) -> Result<(), Problem> {
    Ok(store::set(&key(slot), &encode(batch, challenges.key_name())).await?)
}

fn key(slot: usize) -> String {
    format!("puzzles/{slot}")
}

fn encode(batch: &[Ready], key_name: [u8; 8]) -> Vec<u8> {
    let length = batch.iter().map(|ready| Prepared::LENGTH + 2 + ready.png.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(HEAD_LENGTH + length);
    bytes.push(VERSION);
    bytes.extend(key_name);
    bytes.extend(random::bytes::<BATCH_NAME_LENGTH>());
    for ready in batch {
        // No picture comes near that length. One that did would be left out, not cut.
        let Ok(length) = u16::try_from(ready.png.len()) else { continue };
        ready.challenge.write(&mut bytes);
        bytes.extend(length.to_le_bytes());
        bytes.extend(&ready.png);
    }
    bytes
}

/// The batch and its name, if the bytes are a batch that was prepared under this key.
fn decode(bytes: &[u8], key_name: [u8; 8]) -> Option<(String, Vec<Ready>)> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD_LENGTH>()?;
    if head[0] != VERSION || head[1..9] != key_name {
        return None;
    }
    let mut batch = Vec::with_capacity(BATCH);
    while !rest.is_empty() {
        let (challenge, after) = rest.split_first_chunk::<{ Prepared::LENGTH }>()?;
        let (length, after) = after.split_first_chunk::<2>()?;
        let (png, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        batch.push(Ready { challenge: Prepared::read(challenge), png: png.to_vec() });
        rest = after;
    }
    Some((trace::hex(&head[9..]), batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_slots_and_any_other_means_all() {
        let some = Asked { from: 250, count: 9 };
        assert_eq!(Asked::of(some.to_string().as_bytes(), 256), some);
        let all = Asked { from: 0, count: 256 };
        for other in [&b""[..], b"x", b"1", b"1 x", b"-1 2", b" ", b"\xff\xff", b"99999999999999999999 1"] {
            assert_eq!(Asked::of(other, 256), all, "{other:?}");
        }
        assert_eq!(Asked::of(b"300 1000", 256), Asked { from: 44, count: 256 });
        assert_eq!(Asked::of(b"3 4", 0), Asked { from: 0, count: 0 });
    }

    #[test]
    fn a_batch_is_read_as_it_was_written_and_only_under_its_key() {
        let challenges = Challenges::new(b"secret");
        let batch: Vec<Ready> = (0..3)
            .map(|number| Ready {
                challenge: challenges.prepare("ACFHJ"),
                png: vec![number; 100 + usize::from(number)],
            })
            .collect();
        let bytes = encode(&batch, challenges.key_name());
        let (name, read) = decode(&bytes, challenges.key_name()).unwrap();
        assert_eq!(read, batch);
        // The same pictures put there again are another batch.
        assert_ne!(decode(&encode(&batch, challenges.key_name()), challenges.key_name()).unwrap().0, name);
        assert_eq!(decode(&bytes, Challenges::new(b"other").key_name()), None);
        assert_eq!(decode(&[], challenges.key_name()), None);
        // Bytes that end inside a picture are no batch, and no bytes cause a panic.
        for length in HEAD_LENGTH + 1..bytes.len() {
            let cut = decode(&bytes[..length], challenges.key_name());
            assert!(cut.is_none_or(|(_, batch)| batch.len() < 3), "{length}");
        }
        let mut strange = bytes.clone();
        for at in 0..strange.len() {
            strange[at] ^= 0xff;
            let _ = decode(&strange, challenges.key_name());
        }
    }
}
