//! The kinds of challenges, and how hard each may be.

use std::fmt;
use std::str::FromStr;

use super::work::MOST_BITS;

/// The kind of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read the characters in a picture.
    Image,
    /// Find a number such that a hash begins with zero bits.
    Pow,
    /// Pass a hosted widget. Its own service says whether the shopper passed.
    Turnstile,
    /// Nothing.
    Off,
}

impl Kind {
    /// The word that the contract and the setting `captcha_kind` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Pow => "pow",
            Self::Turnstile => "turnstile",
            Self::Off => "off",
        }
    }

    /// The difficulty where the setting `captcha_difficulty` is 0: characters of a picture, bits of a proof of work.
    pub const fn usual_difficulty(self) -> u8 {
        match self {
            Self::Image => 5,
            // A quarter of a million hashes: about a second on a slow phone.
            Self::Pow => 18,
            Self::Turnstile | Self::Off => 0,
        }
    }

    /// The difficulty `set`, brought within the kind's bounds; the usual one where `set` is 0.
    pub fn difficulty(self, set: u8) -> u8 {
        match (self, set) {
            (_, 0) => self.usual_difficulty(),
            (Self::Image, set) => set.clamp(4, 8),
            (Self::Pow, set) => set.clamp(1, MOST_BITS),
            (Self::Turnstile | Self::Off, _) => 0,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Image => b'i',
            Self::Pow => b'p',
            Self::Turnstile => b't',
            Self::Off => b'o',
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "image" => Ok(Self::Image),
            "pow" => Ok(Self::Pow),
            "turnstile" => Ok(Self::Turnstile),
            "off" => Ok(Self::Off),
            _ => Err("image, pow, turnstile or off"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
