//! What can happen: the alphabet of steps, and how a seed chooses from it.
//!
//! A step names nothing that only another step makes: a shopper's reservation is "their latest", not a number. So any
//! step can be left out of a story, and the others still mean the same.

use sale::item::Switch;

use crate::chance::Chance;
use crate::model::{BEGIN, Rules, Terms, Who, Wish};
use crate::provider::{Choice, Delivery};

/// Everybody who wants to buy. Ids have letters that a careless record would stumble over.
pub const SHOPPERS: [&str; 5] = ["ann", "bob", "cat@example.org", "u-22222222222222222222", "a:b_c.d-e"];

/// Where they come from.
pub const ADDRESSES: [&str; 2] = ["192.0.2.1", "2001:db8::/64"];

/// What shoppers write at checkout.
pub const WORDS: [&str; 4] = ["Li Lei", "\"|\\\n", "上海🦀", ""];

/// A shopper's reservation: their latest, or so many before it; and who acts on it, mostly the shopper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    pub who: Who,
    pub before: u8,
    pub by: Who,
}

/// One thing that happens. Where `dies` is given, the process dies after so many commands to Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait(i64),

    Publish {
        total: i64,
        terms: Terms,
        rules: Rules,
    },
    Revise {
        terms: Terms,
        rules: Rules,
    },
    SetRules(Rules),
    Switch(Switch),
    /// Under a key, however often it is sent, it happens once.
    Stock {
        units: i64,
        add: bool,
        key: Option<u8>,
    },
    Describe,

    AskChallenge {
        who: Who,
        address: u8,
    },
    Wish(Wish),
    Poll {
        whose: Whose,
        limited: bool,
    },
    Release(Whose),
    Checkout {
        whose: Whose,
        words: usize,
    },
    Pay {
        whose: Whose,
        replace: bool,
    },
    Cancel(Whose),
    /// An operator erases what the shopper wrote.
    Erase(Whose),

    Settle {
        whose: Whose,
        attempt: u32,
        succeeded: bool,
        off_by: i64,
    },
    Refund {
        whose: Whose,
        attempt: u32,
    },

    Register {
        whose: Whose,
        attempt: u32,
    },
    Choose {
        whose: Whose,
        attempt: u32,
        choice: Choice,
    },
    /// A webhook of that payment is taken to be delivered, or any.
    Claim {
        wanted: Option<(Whose, u32)>,
    },
    /// What became of the latest try that was claimed, or of one so many before it.
    Report {
        before: u8,
        delivery: Delivery,
    },
    Remind,

    /// A "sold out" mark is made, for the part of its filter that a shopper belongs to.
    Mark {
        who: Who,
    },
    Grant {
        most: u32,
    },
    Lapse {
        most: u32,
    },
    Purge,
    /// What the function `alarm` does with a lane: lapse, collect, purge.
    Alarm {
        dies: Option<u32>,
    },
    Collect {
        dies: Option<u32>,
    },
    Copy {
        most: u32,
        database_gone: bool,
        dies_before_acknowledging: bool,
    },

    /// A copy of all that Redis has of the lane is put by.
    PutCopyBy,
    /// Redis comes back with that copy, or with nothing of the lane.
    LoseToCopy,
    LoseAll,
    /// What finds that the lane is behind mends it: one stage, or until it is finished.
    Mend {
        one_stage: bool,
        dies: Option<u32>,
    },
}

/// The steps of one walk.
pub fn walk(chance: &mut Chance, length: usize) -> Vec<Step> {
    let profile = Profile::new(chance);
    let total = chance.between(1, if profile.tight { 3 } else { 8 });
    let (terms, rules) = (profile.terms(chance), profile.rules(chance, false));
    let mut steps = vec![Step::Publish { total, terms, rules }];
    while steps.len() < length {
        if chance.once_in(25) {
            profile.purchase(chance, &mut steps);
        }
        if profile.loses && chance.once_in(25) {
            profile.loss(chance, &mut steps);
        }
        let step = profile.step(chance);
        steps.push(step.clone());
        if matches!(step, Step::LoseToCopy | Step::LoseAll) {
            profile.mend_by_and_by(chance, &mut steps);
        }
        // Messages come twice, pages are opened twice, clicks are doubled.
        if chance.once_in(12) {
            steps.push(step);
        }
    }
    if chance.once_in(10) {
        profile.end(&mut steps);
    }
    steps
}

/// What one walk is about: otherwise each would have a little of everything, and nothing to its end.
struct Profile {
    shoppers: usize,
    cap: u32,
    ends_in: i64,
    retention_ms: i64,
    hold_ms: i64,
    pay_ms: i64,
    longest_wait: i64,
    loses: bool,
    tight: bool,
    limited: bool,
    pays_at_provider: bool,
}

impl Profile {
    fn new(chance: &mut Chance) -> Self {
        let ends_soon = chance.once_in(2);
        Profile {
            shoppers: 1 + chance.below(SHOPPERS.len()),
            cap: u32::try_from(chance.between(1, 4)).unwrap_or(1),
            ends_in: if ends_soon { chance.between(1_000, 600_000) } else { 86_400_000 },
            retention_ms: if ends_soon { chance.between(0, 300_000) } else { 86_400_000 },
            hold_ms: chance.one_of(&[1_000, 120_000, 120_000]),
            pay_ms: chance.one_of(&[5_000, 600_000]),
            longest_wait: chance.one_of(&[1_000, 60_000, 600_000]),
            loses: chance.once_in(3),
            tight: chance.once_in(3),
            limited: chance.once_in(3),
            pays_at_provider: chance.once_in(8),
        }
    }

    fn terms(&self, chance: &mut Chance) -> Terms {
        let later = if chance.once_in(8) { chance.between(0, 60_000) } else { -10_000 };
        Terms {
            version: u64::try_from(chance.between(1, 3)).unwrap_or(1),
            starts_at: BEGIN + later,
            ends_at: BEGIN + self.ends_in,
            cap: self.cap,
            instant: chance.once_in(4),
            price: chance.between(0, 20_000),
            hold_ms: self.hold_ms,
            pay_ms: self.pay_ms,
            retention_ms: self.retention_ms,
        }
    }

    fn rules(&self, chance: &mut Chance, may_pause: bool) -> Rules {
        Rules {
            shop_version: u64::try_from(chance.between(0, 4)).unwrap_or(0),
            item_version: u64::try_from(chance.between(0, 3)).unwrap_or(0),
            tries: if self.limited { chance.one_of(&[0, 3, 5]) } else { 0 },
            address_tries: if self.limited { chance.one_of(&[0, 7]) } else { 0 },
            polls: if self.limited { chance.one_of(&[0, 1, 6]) } else { 0 },
            polls_per_second: chance.one_of(&[0, 0, 5_000]),
            units_per_second: if self.tight { chance.one_of(&[0, 1, 4]) } else { 0 },
            queue_factor: if self.tight { chance.one_of(&[1, 2]) } else { 100 },
            paused: may_pause && chance.once_in(2),
        }
    }

    /// One shopper goes all the way, and others act meanwhile. Money may come twice, or late, and go back.
    fn purchase(&self, chance: &mut Chance, steps: &mut Vec<Step>) {
        let who = self.who(chance);
        let whose = Whose { who, before: 0, by: who };
        let settle = |attempt, succeeded| Step::Settle { whose, attempt, succeeded, off_by: 0 };
        let pay = Step::Pay { whose, replace: false };
        let mut way = vec![
            Step::Wish(Wish { who, quantity: 1, challenge: None, address: None, rehearsal: false }),
            Step::Grant { most: 500 },
            Step::Checkout { whose, words: 0 },
            pay,
        ];
        match chance.below(3) {
            0 => way.push(settle(1, true)),
            1 => way.extend([
                settle(1, false),
                Step::Pay { whose, replace: true },
                settle(1, true),
                settle(2, true),
            ]),
            _ => way.extend([Step::Wait(self.pay_ms), settle(1, true)]),
        }
        if chance.once_in(40) {
            way.splice(4..4, std::iter::repeat_n(Step::Pay { whose, replace: true }, 20));
        }
        way.push(Step::Refund { whose, attempt: u32::from(chance.once_in(2)) * 2 });
        for step in way {
            steps.push(step);
            if chance.once_in(5) {
                steps.push(self.step(chance));
            }
        }
    }

    /// The order database has more than the copy that Redis comes back with, and Redis goes on from there.
    fn loss(&self, chance: &mut Chance, steps: &mut Vec<Step>) {
        self.purchase(chance, steps);
        steps.push(Step::PutCopyBy);
        self.purchase(chance, steps);
        steps.push(Step::Copy {
            most: 250,
            database_gone: false,
            dies_before_acknowledging: chance.once_in(3),
        });
        steps.push(Step::LoseToCopy);
        self.purchase(chance, steps);
        self.mend_by_and_by(chance, steps);
    }

    /// The sale goes on for a while, unaware of the loss. Then the lane is mended stage by stage, and the sale goes on between
    /// the stages.
    fn mend_by_and_by(&self, chance: &mut Chance, steps: &mut Vec<Step>) {
        for _ in 0..chance.below(12) {
            steps.push(self.step(chance));
        }
        for _ in 0..chance.below(10) {
            steps.push(Step::Mend { one_stage: true, dies: None });
            if chance.once_in(4) {
                steps.push(self.step(chance));
            }
        }
    }

    /// The sale ends, all is settled as far as time settles it, and the lane's time in Redis is over.
    fn end(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Wait(self.ends_in + self.retention_ms));
        steps.push(Step::Grant { most: 500 });
        steps.push(Step::Wait(self.hold_ms));
        steps.push(Step::Lapse { most: 200 });
        steps.push(Step::Copy { most: 250, database_gone: false, dies_before_acknowledging: false });
        steps.extend([Step::Collect { dies: None }, Step::Purge]);
    }

    fn who(&self, chance: &mut Chance) -> Who {
        Who::try_from(chance.below(self.shoppers)).unwrap_or(0)
    }

    fn whose(&self, chance: &mut Chance) -> Whose {
        let who = self.who(chance);
        let by = if chance.once_in(12) { self.who(chance) } else { who };
        let before = if chance.once_in(5) { u8::try_from(chance.below(4)).unwrap_or(0) } else { 0 };
        Whose { who, before, by }
    }

    fn address(&self, chance: &mut Chance) -> u8 {
        u8::try_from(chance.below(ADDRESSES.len())).unwrap_or(0)
    }

    fn at_provider(&self, chance: &mut Chance) -> Step {
        let attempt = if chance.once_in(5) { 2 } else { 1 };
        match chance.below(8) {
            0..2 => Step::Register { whose: self.whose(chance), attempt },
            2..4 => Step::Choose {
                whose: self.whose(chance),
                attempt,
                choice: chance.one_of(&[Choice::Succeeded, Choice::Failed, Choice::Late]),
            },
            4 => Step::Claim { wanted: chance.once_in(2).then(|| (self.whose(chance), attempt)) },
            5..7 => Step::Report {
                before: if chance.once_in(3) { 1 } else { 0 },
                delivery: chance.one_of(&[
                    Delivery::Delivered,
                    Delivery::Refused,
                    Delivery::Failed,
                    Delivery::Failed,
                ]),
            },
            _ => Step::Remind,
        }
    }

    fn dies(chance: &mut Chance) -> Option<u32> {
        chance.once_in(3).then(|| u32::try_from(chance.below(12)).unwrap_or(0))
    }

    fn step(&self, chance: &mut Chance) -> Step {
        if self.pays_at_provider && chance.once_in(2) {
            return self.at_provider(chance);
        }
        let small = |chance: &mut Chance| u32::try_from(chance.between(1, 5)).unwrap_or(1);
        // Weights; what loses Redis happens in some walks only, and stands last.
        let dice = chance.below(if self.loses { 224 } else { 208 });
        match dice {
            0..4 if self.limited => {
                Step::AskChallenge { who: self.who(chance), address: self.address(chance) }
            }
            0..40 => Step::Wish(Wish {
                who: self.who(chance),
                quantity: u32::try_from(chance.between(1, 4)).unwrap_or(1).min(self.cap + 1),
                challenge: (!chance.once_in(3))
                    .then(|| (u8::try_from(chance.below(60)).unwrap_or(0), !chance.once_in(8))),
                address: (self.limited && !chance.once_in(6)).then(|| self.address(chance)),
                rehearsal: chance.once_in(12),
            }),
            40..58 => Step::Grant { most: if chance.once_in(2) { 500 } else { small(chance) } },
            58..60 => Step::Mark { who: self.who(chance) },
            60..66 => Step::Poll { whose: self.whose(chance), limited: self.limited && !chance.once_in(4) },
            66..76 => Step::Release(self.whose(chance)),
            76..98 => Step::Checkout { whose: self.whose(chance), words: chance.below(WORDS.len()) },
            98..113 => Step::Pay { whose: self.whose(chance), replace: chance.once_in(3) },
            113..131 => Step::Settle {
                whose: self.whose(chance),
                attempt: if chance.once_in(4) { small(chance) - 1 } else { 1 },
                succeeded: !chance.once_in(3),
                off_by: if chance.once_in(10) { chance.between(-1, 2) } else { 0 },
            },
            131..136 => Step::Cancel(self.whose(chance)),
            136..138 => Step::Erase(self.whose(chance)),
            138..144 => Step::Refund {
                whose: self.whose(chance),
                attempt: if chance.once_in(2) { 0 } else { small(chance) },
            },
            144..152 => Step::Lapse { most: if chance.once_in(2) { 200 } else { small(chance) } },
            152..158 => Step::Alarm { dies: Self::dies(chance) },
            158..160 => Step::Purge,
            160..164 => Step::Collect { dies: Self::dies(chance) },
            164..172 => Step::Copy {
                most: if chance.once_in(2) { 250 } else { small(chance) },
                database_gone: chance.once_in(10),
                dies_before_acknowledging: chance.once_in(6),
            },
            172..177 => Step::Stock {
                units: chance.between(-3, 6),
                add: chance.once_in(2),
                key: chance.once_in(2).then(|| u8::try_from(chance.below(3)).unwrap_or(0)),
            },
            177..182 => Step::Switch(match chance.below(12) {
                0 => Switch::Closed,
                1..=4 => Switch::Paused,
                _ => Switch::Open,
            }),
            182..184 => Step::Revise { terms: self.terms(chance), rules: self.rules(chance, false) },
            184 => Step::Publish {
                total: chance.between(1, 8),
                terms: self.terms(chance),
                rules: self.rules(chance, false),
            },
            185..188 => Step::SetRules(self.rules(chance, true)),
            188 => Step::Describe,
            189..200 => Step::Wait(match chance.below(8) {
                0 => self.hold_ms,
                1 => self.pay_ms,
                2 => chance.between(1, self.longest_wait * 4),
                _ => chance.between(1, self.longest_wait),
            }),
            200..208 => self.at_provider(chance),
            208..212 => Step::PutCopyBy,
            212..215 => Step::LoseToCopy,
            215 => Step::LoseAll,
            _ => Step::Mend { one_stage: !chance.once_in(3), dies: Self::dies(chance) },
        }
    }
}

impl Step {
    /// The reservation that it is about.
    pub fn whose(&self) -> Option<Whose> {
        match self {
            Step::Release(whose) | Step::Cancel(whose) | Step::Erase(whose) => Some(*whose),
            Step::Pay { whose, .. }
            | Step::Poll { whose, .. }
            | Step::Register { whose, .. }
            | Step::Choose { whose, .. } => Some(*whose),
            Step::Claim { wanted } => wanted.map(|(whose, _)| whose),
            Step::Checkout { whose, .. } | Step::Settle { whose, .. } | Step::Refund { whose, .. } => {
                Some(*whose)
            }
            _ => None,
        }
    }

    /// Whether it is exactly one script, whatever becomes of it.
    pub fn is_one_script(&self) -> bool {
        (self.whose().is_some() && !matches!(self, Step::Erase(_)))
            || matches!(
                self,
                Step::Publish { .. }
                    | Step::Revise { .. }
                    | Step::SetRules(_)
                    | Step::Switch(_)
                    | Step::Stock { .. }
                    | Step::Describe
                    | Step::AskChallenge { .. }
                    | Step::Wish(_)
                    | Step::Claim { .. }
                    | Step::Remind
                    | Step::Mark { .. }
                    | Step::Grant { .. }
                    | Step::Lapse { .. }
            )
    }
}
