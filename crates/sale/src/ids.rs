//! Ids. Clients see opaque text. A reservation's id contains its item and lane, so one round trip finds the reservation. Only
//! checked ids become part of a Redis key.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The text does not have the form of such an id. Tell clients the same as for an id that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id of this kind")]
pub struct InvalidId;

/// Letters of generated ids. People don't mistake one of these 31 for another.
const ALPHABET: &[u8; 31] = b"23456789abcdefghijkmnpqrstuvwxy";

/// Turns random bytes into `LENGTH` characters of [`ALPHABET`].
///
/// The caller brings the randomness (16 bits a character), since this crate does no I/O.
fn spell<const LENGTH: usize>(random: &[u8]) -> String {
    (0..LENGTH)
        .map(|at| {
            let pair =
                [random.get(2 * at).copied().unwrap_or(0), random.get(2 * at + 1).copied().unwrap_or(0)];
            ALPHABET[usize::from(u16::from_le_bytes(pair)) % ALPHABET.len()] as char
        })
        .collect()
}

fn is_plain(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

macro_rules! plain_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an id of 20 random bytes.
            pub fn random(bytes: [u8; 20]) -> Self {
                $name(format!(concat!($prefix, "{}"), spell::<10>(&bytes)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_plain(text, 11) && text.starts_with($prefix) { Ok($name(text.to_owned())) } else { Err(InvalidId) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_form!($name);
    };
}

plain_id!(
    /// A sale: a titled window of time with items in it. `s` and ten characters.
    SaleId, "s"
);
plain_id!(
    /// A scarce item of a sale. `i` and ten characters.
    ItemId, "i"
);

/// A shopper, as the session token names them. Guests are `u-` and 20 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    /// Makes a guest's id of 40 random bytes.
    pub fn guest(bytes: [u8; 40]) -> Self {
        UserId(format!("u-{}", spell::<20>(&bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = InvalidId;
    /// 1 to 64 characters of letters, digits and `._:@-`; anything else could confuse a stored record.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            Ok(UserId(text.to_owned()))
        } else {
            Err(InvalidId)
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(UserId);

/// One lane of an item: a whole small sale with its own stock, queue and outbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    pub item: ItemId,
    pub number: u16,
}

impl Lane {
    pub fn new(item: ItemId, number: u16) -> Self {
        Lane { item, number }
    }

    /// The item's first lane, which every item has.
    pub fn first(item: ItemId) -> Self {
        Lane { item, number: 0 }
    }

    /// The lane that serves `user` among `lanes` of `item`: always the same one (FNV-1a over the id).
    pub fn of(item: ItemId, user: &UserId, lanes: u16) -> Self {
        let hash = user.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let number = u16::try_from(hash % u64::from(lanes.max(1))).unwrap_or(0);
        Lane { item, number }
    }
}

/// `<item>:<lane>`, as doorbells carry it and keys are tagged with it.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.item, self.number)
    }
}

impl FromStr for Lane {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (item, number) = text.split_once(':').ok_or(InvalidId)?;
        Ok(Lane { item: item.parse()?, number: lane_number(number)? })
    }
}

fn lane_number(text: &str) -> Result<u16, InvalidId> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().map_err(|_| InvalidId) } else { Err(InvalidId) }
}

/// The part of a reservation's id that is its own: twelve random characters. Its order shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tail(String);

impl Tail {
    /// Makes a tail of 24 random bytes.
    pub fn random(bytes: [u8; 24]) -> Self {
        Tail(spell::<12>(&bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tail {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if is_plain(text, 12) { Ok(Tail(text.to_owned())) } else { Err(InvalidId) }
    }
}

macro_rules! lane_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            pub lane: Lane,
            pub tail: Tail,
        }

        impl $name {
            pub fn new(lane: Lane, tail: Tail) -> Self {
                $name { lane, tail }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}-{}-{}"), self.lane.item, self.lane.number, self.tail.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let mut parts = text.split('-');
                let (Some($prefix), Some(item), Some(lane), Some(tail), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return Err(InvalidId);
                };
                Ok($name { lane: Lane { item: item.parse()?, number: lane_number(lane)? }, tail: tail.parse()? })
            }
        }

        text_form!($name);
    };
}

lane_id!(
    /// A shopper's place in a sale: `r-<item>-<lane>-<tail>`.
    ReservationId, "r"
);
lane_id!(
    /// What a hold becomes at checkout: `o-<item>-<lane>-<tail>`, with its reservation's tail, so there is one at most.
    OrderId, "o"
);

impl ReservationId {
    pub fn order(&self) -> OrderId {
        OrderId { lane: self.lane.clone(), tail: self.tail.clone() }
    }
}

impl OrderId {
    pub fn reservation(&self) -> ReservationId {
        ReservationId { lane: self.lane.clone(), tail: self.tail.clone() }
    }
}

/// One attempt to pay an order: `p-<item>-<lane>-<tail>-<attempt>`, attempts counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PaymentId {
    pub order: OrderId,
    pub attempt: u32,
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OrderId { lane, tail } = &self.order;
        write!(f, "p-{}-{}-{}-{}", lane.item, lane.number, tail.as_str(), self.attempt)
    }
}

impl FromStr for PaymentId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (rest, attempt) = text.rsplit_once('-').ok_or(InvalidId)?;
        let attempt = attempt.parse().map_err(|_| InvalidId)?;
        let order: OrderId = format!("o-{}", rest.strip_prefix("p-").ok_or(InvalidId)?).parse()?;
        let id = PaymentId { order, attempt };
        // Only the canonical spelling names a payment: no leading zeros, no plus sign.
        if id.attempt >= 1 && id.to_string() == text { Ok(id) } else { Err(InvalidId) }
    }
}

text_form!(PaymentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_from_their_text() {
        let item = ItemId::random([7; 20]);
        let reservation = ReservationId::new(Lane::new(item.clone(), 12), Tail::random([9; 24]));
        assert_eq!(item.to_string().parse(), Ok(item));
        assert_eq!(reservation.to_string().parse(), Ok(reservation.clone()));
        assert_eq!(reservation.order().to_string().parse(), Ok(reservation.order()));
        assert_eq!(reservation.order().reservation(), reservation);
        let payment = PaymentId { order: reservation.order(), attempt: 3 };
        assert_eq!(payment.to_string().parse(), Ok(payment));
    }

    #[test]
    fn nothing_else_is_an_id() {
        let long = "i".repeat(5000);
        for text in [
            "",
            "i",
            "i123456789",
            "I1234567890",
            "i123456789{",
            "i12345678901",
            "i1234567:90",
            "i*[a]?45678",
            &long,
        ] {
            assert!(text.parse::<ItemId>().is_err(), "{text}");
        }
        for text in [
            "r-i1234567890-0",
            "r-i1234567890-00-abcdefghijkl",
            "r-i1234567890-+1-abcdefghijkl",
            "r-i1234567890-70000-abcdefghijkl",
            "o-i1234567890-0-abcdefghijkl",
            "r-i1234567890-0-abcdefghijkl-1",
            "r-i1234567890-0-abcdefghij}:",
        ] {
            assert!(text.parse::<ReservationId>().is_err(), "{text}");
        }
        for text in [
            "p-i1234567890-0-abcdefghijkl-0",
            "p-i1234567890-0-abcdefghijkl-01",
            "p-i1234567890-0-abcdefghijkl",
        ] {
            assert!(text.parse::<PaymentId>().is_err(), "{text}");
        }
        for text in ["", "a b", "a|b", "a\nb", "é", &"a".repeat(65)] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_shopper_has_one_lane_and_a_crowd_has_all() {
        let item = ItemId::random([1; 20]);
        let mut seen = [0; 8];
        for n in 0..8000 {
            let user: UserId = format!("user-{n}").parse().unwrap();
            let lane = Lane::of(item.clone(), &user, 8);
            assert_eq!(lane, Lane::of(item.clone(), &user, 8));
            seen[usize::from(lane.number)] += 1;
        }
        assert!(seen.iter().all(|&count| (700..1300).contains(&count)), "{seen:?}");
    }
}
