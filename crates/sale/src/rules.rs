//! The rules of a running shop that an operator changes live: allowances, paces, challenges, pause, and the length of the queue.
//!
//! A rule is looked up in the item's own rules, then in the shop's, then in the deployment's settings. Functions that
//! work from snapshots (challenges) follow within a second. What a script checks is kept in the lane itself
//! ([`LaneRules`]), so the next reservation goes by it.

use crate::catalogue::{Document, Listing};
use crate::ids::ItemId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The id of the document that holds for the whole shop; no item's id looks like it.
pub const SHOP: &str = "shop";

/// What the operator overrides. A member that is left out overrides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Which challenge a shopper is asked: a word of `captcha_kind`. The deployment decides whether one is asked at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_kind: Option<String>,
    /// How hard the challenge is, in the unit of its kind; 0 for the kind's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_difficulty: Option<u8>,
    /// Tries (challenges and reservations) of one shopper, per item, in ten seconds; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_per_ten_seconds: Option<u32>,
    /// The same for one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_tries_per_ten_seconds: Option<u32>,
    /// Polls of one shopper, per item, in ten seconds; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polls_per_ten_seconds: Option<u32>,
    /// Polls of one item, a second, that all pages together are told to stay under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polls_per_second: Option<u32>,
    /// Units of one item, a second, for which reservations are admitted; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_per_second: Option<u32>,
    /// The queue is full when this many times the stock waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_factor: Option<u32>,
    /// Whether open items are paused. An item that the operator then resumes opens all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

impl Rules {
    /// These rules, and `other`'s for the members that these leave out.
    #[must_use]
    pub fn or(self, other: &Rules) -> Rules {
        Rules {
            challenge_kind: self.challenge_kind.or_else(|| other.challenge_kind.clone()),
            challenge_difficulty: self.challenge_difficulty.or(other.challenge_difficulty),
            tries_per_ten_seconds: self.tries_per_ten_seconds.or(other.tries_per_ten_seconds),
            address_tries_per_ten_seconds: self
                .address_tries_per_ten_seconds
                .or(other.address_tries_per_ten_seconds),
            polls_per_ten_seconds: self.polls_per_ten_seconds.or(other.polls_per_ten_seconds),
            polls_per_second: self.polls_per_second.or(other.polls_per_second),
            units_per_second: self.units_per_second.or(other.units_per_second),
            queue_factor: self.queue_factor.or(other.queue_factor),
            paused: self.paused.or(other.paused),
        }
    }
}

/// The rules of the shop, or of one item, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesDocument {
    /// [`SHOP`], or the item's id.
    pub id: String,
    pub rules: Rules,
    /// Counts the changes of this document, from 1; 0 if no rule was ever set.
    pub version: u64,
    /// When it was changed last, and by which operator.
    pub changed_at: Option<Timestamp>,
    pub changed_by: Option<String>,
}

impl RulesDocument {
    /// The document before any rule is set.
    pub fn none(id: &str) -> Self {
        let rules = Rules::default();
        RulesDocument { id: id.to_owned(), rules, version: 0, changed_at: None, changed_by: None }
    }
}

impl Document for RulesDocument {
    const KEY: &'static str = crate::keys::RULES;
    fn id(&self) -> &str {
        &self.id
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn listing(&self) -> Listing {
        Listing::default()
    }
}

/// The rules for one item: its own, and the shop's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRules {
    pub shop: RulesDocument,
    pub item: RulesDocument,
}

impl ItemRules {
    /// The item's own rules over the shop's.
    pub fn merged(&self) -> Rules {
        self.item.rules.clone().or(&self.shop.rules)
    }
}

/// The largest capacity of an allowance.
pub const MAX_ALLOWANCE: u32 = 10_000;
/// The most polls or units a second.
pub const MAX_RATE: u32 = 1_000_000;
/// The largest queue factor.
pub const MAX_QUEUE_FACTOR: u32 = 1_000_000;

/// The rules as the scripts of a lane check them. In all rates, 0 stands for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaneRules {
    pub tries_per_ten_seconds: u32,
    pub address_tries_per_ten_seconds: u32,
    pub polls_per_ten_seconds: u32,
    pub polls_per_second: u32,
    pub units_per_second: u32,
    /// At least 1.
    pub queue_factor: u32,
    pub paused: bool,
}

impl LaneRules {
    /// No bound but the queue's.
    pub const NONE: LaneRules = LaneRules {
        tries_per_ten_seconds: 0,
        address_tries_per_ten_seconds: 0,
        polls_per_ten_seconds: 0,
        polls_per_second: 0,
        units_per_second: 0,
        queue_factor: 100,
        paused: false,
    };

    /// `rules` where they say something, and these elsewhere.
    #[must_use]
    pub fn under(self, rules: &Rules) -> LaneRules {
        let limit = |rule: Option<u32>, usual: u32| rule.map_or(usual, |rule| rule.min(MAX_ALLOWANCE));
        let rate = |rule: Option<u32>, usual: u32| rule.map_or(usual, |rule| rule.min(MAX_RATE));
        LaneRules {
            tries_per_ten_seconds: limit(rules.tries_per_ten_seconds, self.tries_per_ten_seconds),
            address_tries_per_ten_seconds: limit(
                rules.address_tries_per_ten_seconds,
                self.address_tries_per_ten_seconds,
            ),
            polls_per_ten_seconds: limit(rules.polls_per_ten_seconds, self.polls_per_ten_seconds),
            polls_per_second: rate(rules.polls_per_second, self.polls_per_second),
            units_per_second: rate(rules.units_per_second, self.units_per_second),
            queue_factor: rules
                .queue_factor
                .map_or(self.queue_factor, |factor| factor.clamp(1, MAX_QUEUE_FACTOR)),
            paused: rules.paused.unwrap_or(self.paused),
        }
    }

    /// The rates as the lane keeps them: one field, which `read_rates` in `prelude/callers.lua` reads with one match.
    pub(crate) fn rates(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}",
            self.tries_per_ten_seconds,
            self.address_tries_per_ten_seconds,
            self.polls_per_ten_seconds,
            self.polls_per_second,
            self.units_per_second,
        )
    }
}

/// A lane's rules with the versions that they come from, so that older rules never replace newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedRules {
    pub rules: LaneRules,
    pub shop_version: u64,
    pub item_version: u64,
}

impl VersionedRules {
    /// [`LaneRules::NONE`], before anybody has set a rule.
    pub const NONE: VersionedRules =
        VersionedRules { rules: LaneRules::NONE, shop_version: 0, item_version: 0 };

    /// `rules` over the deployment's `usual` ones.
    pub fn of(rules: &ItemRules, usual: LaneRules) -> Self {
        VersionedRules {
            rules: usual.under(&rules.merged()),
            shop_version: rules.shop.version,
            item_version: rules.item.version,
        }
    }

    pub(crate) fn arguments(&self) -> [String; 5] {
        [
            self.shop_version.to_string(),
            self.item_version.to_string(),
            self.rules.rates(),
            self.rules.queue_factor.to_string(),
            u8::from(self.rules.paused).to_string(),
        ]
    }
}

/// Whether `id` names a set of rules: the shop's, or an item's.
pub fn is_rules_id(id: &str) -> bool {
    id == SHOP || id.parse::<ItemId>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_item_come_before_those_of_the_shop_and_those_before_the_settings() {
        let shop = Rules {
            tries_per_ten_seconds: Some(5),
            queue_factor: Some(7),
            paused: Some(true),
            ..Rules::default()
        };
        let item = Rules { tries_per_ten_seconds: Some(0), paused: Some(false), ..Rules::default() };
        let usual = LaneRules { address_tries_per_ten_seconds: 60, ..LaneRules::NONE };
        let merged = usual.under(&item.or(&shop));
        let expected = LaneRules { queue_factor: 7, ..usual };
        assert_eq!(merged, expected);
        assert_eq!(merged.rates(), "0|60|0|0|0");
    }

    #[test]
    fn rules_that_no_lane_could_bear_are_bounded() {
        let rules = Rules {
            tries_per_ten_seconds: Some(u32::MAX),
            units_per_second: Some(u32::MAX),
            queue_factor: Some(0),
            ..Rules::default()
        };
        let merged = LaneRules::NONE.under(&rules);
        assert_eq!(
            (merged.tries_per_ten_seconds, merged.units_per_second, merged.queue_factor),
            (MAX_ALLOWANCE, MAX_RATE, 1)
        );
    }

    #[test]
    fn only_the_rules_that_are_set_are_written() {
        let rules = Rules { units_per_second: Some(0), ..Rules::default() };
        assert_eq!(serde_json::to_string(&rules).unwrap(), r#"{"units_per_second":0}"#);
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
        assert!(serde_json::from_str::<Rules>(r#"{"unit_per_second":0}"#).is_err());
    }
}
