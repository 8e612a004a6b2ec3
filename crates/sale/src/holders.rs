//! The filter of the shoppers who got units of a lane, as a reader sees it. The scripts keep it: `prelude/holders.lua`.
//!
//! It is a Bloom filter in parts. A shopper belongs to one part, and is in it if three bits are set. It misses nobody who was
//! noted. With as many shoppers as it was made for, it takes one stranger in two hundred for one of them.

use crate::ids::UserId;
use sha1::{Digest, Sha1};

/// One part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPart {
    /// How many parts the filter has.
    pub parts: u32,
    /// Which of them this is.
    pub number: u32,
    /// 8 KiB at most. Bits that are missing at the end are not set.
    bits: Vec<u8>,
}

/// Where a shopper stands in a filter: the part, and three bits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub part: u32,
    bits: [u16; 3],
}

impl Place {
    /// The place of `user` in a filter of `parts` parts.
    pub fn of(user: &UserId, parts: u32) -> Place {
        let digest = Sha1::digest(user.as_str());
        let [a, b, c, d, rest @ ..] = <[u8; 20]>::from(digest);
        let part = u32::from_be_bytes([a, b, c, d]) % parts.max(1);
        Place { part, bits: std::array::from_fn(|at| u16::from_be_bytes([rest[2 * at], rest[2 * at + 1]])) }
    }
}

impl FilterPart {
    pub fn new(parts: u32, number: u32, bits: Vec<u8>) -> Self {
        FilterPart { parts, number, bits }
    }

    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Whether `user` may have got units. A shopper of another part may have, too.
    pub fn may_contain(&self, user: &UserId) -> bool {
        let place = Place::of(user, self.parts);
        // Redis counts the bits of a byte from the highest.
        let is_set = |bit: &u16| {
            self.bits.get(usize::from(bit / 8)).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
        };
        place.part != self.number || place.bits.iter().all(is_set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_seldom_taken_for_holders() {
        let users =
            |kind: &'static str, count: u32| (0..count).map(move |n| format!("{kind}{n}").parse().unwrap());
        let mut part = FilterPart::new(1, 0, vec![0; 8_192]);
        for user in users("holder", 4_096) {
            for bit in Place::of(&user, 1).bits {
                part.bits[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
            }
        }
        assert!(users("holder", 4_096).all(|user| part.may_contain(&user)));
        let taken = users("stranger", 100_000).filter(|user| part.may_contain(user)).count();
        assert!((1..1_000).contains(&taken), "{taken} of 100,000 strangers");
    }

    #[test]
    fn an_empty_part_has_nobody_of_its_own_and_may_not_speak_for_others() {
        let ann: UserId = "ann".parse().unwrap();
        let place = Place::of(&ann, 256);
        assert!(!FilterPart::new(256, place.part, Vec::new()).may_contain(&ann));
        assert!(FilterPart::new(256, place.part ^ 1, Vec::new()).may_contain(&ann));
    }
}
