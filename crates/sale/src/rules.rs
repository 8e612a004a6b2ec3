//! The rules of a running shop that an operator changes live: limits, how hard challenges are, pause, the queue's bound.
//!
//! A rule is looked up in the item's own rules, then in the shop's, then in the deployment's settings. Functions that
//! work from snapshots (challenges) follow within a second; what a script checks is kept in the lane itself
//! ([`Limits`]), so that the next reservation goes by it.

use crate::catalogue::Document;
use crate::ids::ItemId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The id of the document that holds for the whole shop; no item's id looks like it.
pub const SHOP: &str = "shop";

/// What is overridden. A member that is left out is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Which challenge is asked for: a word of `captcha_kind`. Whether one is asked at all is the deployment's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_kind: Option<String>,
    /// How hard it is, in the kind's own measure; 0 for the kind's usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_difficulty: Option<u8>,
    /// Challenges and reservations that one shopper may ask for, per item, in ten seconds; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_per_ten_seconds: Option<u32>,
    /// The same for one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_tries_per_ten_seconds: Option<u32>,
    /// Polls of one shopper, per item, in ten seconds; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polls_per_ten_seconds: Option<u32>,
    /// Polls of one item that pages are told to stay under, all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polls_per_second: Option<u32>,
    /// Units that reservations of one item may ask for and be admitted, per second; 0 for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_per_second: Option<u32>,
    /// With more than this many times the stock waiting, the queue is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_factor: Option<u32>,
    /// Whether what is open is paused meanwhile. An item that the operator resumes by itself opens all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

impl Rules {
    /// These rules where they say something, `other`'s elsewhere.
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
    /// Counts the changes of this document, from 1; 0 where nobody has set any.
    pub version: u64,
    /// When and by whom it was changed last.
    pub changed_at: Option<Timestamp>,
    pub changed_by: Option<String>,
}

impl RulesDocument {
    /// What holds before anybody has set a rule.
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
}

/// The rules that concern one item: its own, and the shop's.
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

/// Most of any limit.
pub const MAX_LIMIT: u32 = 10_000;
/// Most polls and units a second.
pub const MAX_RATE: u32 = 1_000_000;
/// Most times the stock that may wait.
pub const MAX_QUEUE_FACTOR: u32 = 1_000_000;

/// What the scripts of a lane go by. In all limits, 0 stands for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    pub tries_per_ten_seconds: u32,
    pub address_tries_per_ten_seconds: u32,
    pub polls_per_ten_seconds: u32,
    pub polls_per_second: u32,
    pub units_per_second: u32,
    /// At least 1.
    pub queue_factor: u32,
    pub paused: bool,
}

impl Limits {
    /// No limit but the queue's.
    pub const NONE: Limits = Limits {
        tries_per_ten_seconds: 0,
        address_tries_per_ten_seconds: 0,
        polls_per_ten_seconds: 0,
        polls_per_second: 0,
        units_per_second: 0,
        queue_factor: 100,
        paused: false,
    };

    /// These limits where `rules` say nothing, and `rules` where they do.
    #[must_use]
    pub fn under(self, rules: &Rules) -> Limits {
        let limit = |rule: Option<u32>, usual: u32| rule.map_or(usual, |rule| rule.min(MAX_LIMIT));
        let rate = |rule: Option<u32>, usual: u32| rule.map_or(usual, |rule| rule.min(MAX_RATE));
        Limits {
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

    /// As the lane keeps them: one field, read with one match.
    pub(crate) fn kept(&self) -> String {
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

/// The limits of a lane and the rules that they come from, so that older rules never undo younger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedLimits {
    pub limits: Limits,
    pub shop_version: u64,
    pub item_version: u64,
}

impl VersionedLimits {
    /// [`Limits::NONE`], before anybody has set a rule.
    pub const NONE: VersionedLimits =
        VersionedLimits { limits: Limits::NONE, shop_version: 0, item_version: 0 };

    /// What `rules` make of the deployment's `usual` limits.
    pub fn of(rules: &ItemRules, usual: Limits) -> Self {
        VersionedLimits {
            limits: usual.under(&rules.merged()),
            shop_version: rules.shop.version,
            item_version: rules.item.version,
        }
    }

    pub(crate) fn arguments(&self) -> [String; 5] {
        [
            self.shop_version.to_string(),
            self.item_version.to_string(),
            self.limits.kept(),
            self.limits.queue_factor.to_string(),
            u8::from(self.limits.paused).to_string(),
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
    fn an_item_s_rules_come_before_the_shop_s_and_those_before_the_settings() {
        let shop = Rules {
            tries_per_ten_seconds: Some(5),
            queue_factor: Some(7),
            paused: Some(true),
            ..Rules::default()
        };
        let item = Rules { tries_per_ten_seconds: Some(0), paused: Some(false), ..Rules::default() };
        let usual = Limits { address_tries_per_ten_seconds: 60, ..Limits::NONE };
        let limits = usual.under(&item.or(&shop));
        let expected = Limits { queue_factor: 7, ..usual };
        assert_eq!(limits, expected);
        assert_eq!(limits.kept(), "0|60|0|0|0");
    }

    #[test]
    fn what_no_lane_could_bear_is_bounded() {
        let rules = Rules {
            tries_per_ten_seconds: Some(u32::MAX),
            units_per_second: Some(u32::MAX),
            queue_factor: Some(0),
            ..Rules::default()
        };
        let limits = Limits::NONE.under(&rules);
        assert_eq!(
            (limits.tries_per_ten_seconds, limits.units_per_second, limits.queue_factor),
            (MAX_LIMIT, MAX_RATE, 1)
        );
    }

    #[test]
    fn rules_are_written_as_far_as_they_say_something() {
        let rules = Rules { units_per_second: Some(0), ..Rules::default() };
        assert_eq!(serde_json::to_string(&rules).unwrap(), r#"{"units_per_second":0}"#);
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
        assert!(serde_json::from_str::<Rules>(r#"{"unit_per_second":0}"#).is_err());
    }
}
