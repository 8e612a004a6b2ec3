//! What a seed decides before anything runs.

use std::fmt;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long shoppers come and faults happen. Afterwards everything heals, and the sale must settle.
pub const STORM: Duration = Duration::from_millis(5_000);
/// Seconds that a hold lasts, and an unpaid order. Short, so that many lapse while faults happen.
pub const HOLD_SECONDS: u64 = 2;
pub const PAY_SECONDS: u64 = 3;
/// The price of a unit, in minor units.
pub const PRICE: i64 = 39_900;

/// One sale with its shoppers and its faults.
pub struct Plan {
    pub seed: u64,
    pub stock: i64,
    pub cap: i64,
    pub instant: bool,
    /// Whether the item ends while shoppers still come.
    pub ends_early: bool,
    pub database: Database,
    /// Whether Redis writes each command to its disk before it replies. Otherwise it may forget the last two seconds.
    pub always_synced: bool,
    /// How far the clock of the second host is off, in seconds.
    pub clock_off_by: i64,
    pub shoppers: Vec<ShopperPlan>,
    pub faults: Vec<At<Fault>>,
    pub acts: Vec<At<Act>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Something that begins so long after the storm's begin.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub at: Duration,
    pub what: T,
}

/// What breaks, and for how long.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// SIGKILL for a host, started again at once.
    KillHost(usize),
    /// SIGSTOP for a host: it holds its connections and answers nothing.
    StopHost(usize, Duration),
    KillRedis,
    StopRedis(Duration),
    /// Every connection to Redis is closed, and new ones are too.
    CutRedis(Duration),
    /// Every piece of a conversation with Redis is late by so much.
    SlowRedis {
        late: Duration,
        lasts: Duration,
    },
    /// Redis accepts and never answers.
    HangRedis(Duration),
    /// The disk has no room for Redis's append-only file. A Redis that syncs always ends then, and is started again.
    FillDisk(Duration),
    FlushScripts,
    /// The subscriptions are closed: doorbells and alarms are lost until hosts subscribe again.
    LoseDoorbells,
    /// Every doorbell and every alarm is heard twice.
    DoubleDoorbells,
    EmptyKeyValue,
    /// SQLite is locked, or PostgreSQL accepts and never answers.
    HangDatabase(Duration),
    /// PostgreSQL's connections are closed. SQLite has none: nothing happens.
    CutDatabase(Duration),
}

/// What an operator does meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Pauses the item, and resumes it so much later.
    Pause(Duration),
    SetTotal(i64),
    Tick,
    Audit,
}

/// One shopper's intentions.
#[derive(Clone, Debug)]
pub struct ShopperPlan {
    pub arrives: Duration,
    pub host: usize,
    pub quantity: i64,
    pub after_hold: AfterHold,
    /// How long the shopper thinks between two steps.
    pub thinks: Duration,
    /// How many reservations the shopper asks for, one after the other.
    pub wishes: u32,
    /// Whether every request is sent twice at once, as by a double click.
    pub double_clicks: bool,
}

/// What a shopper does with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterHold {
    GiveBack,
    LetLapse,
    Cancel,
    NeverPay,
    Pay(Payment),
}

/// How the provider's webhooks about a payment go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    Once,
    Twice,
    /// First a forged message, then the true one.
    AfterForgery,
    /// The first attempt fails, the second succeeds.
    SecondAttempt,
    /// Both attempts succeed: the first one's money is surplus.
    BothAttempts,
    /// After the order's deadline.
    Late,
    /// A validly signed success over one minor unit too little.
    WrongAmount,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let stock = chance.random_range(3..40);
        let people = chance.random_range(20..90);
        let cap = chance.random_range(1..=3);
        let shoppers = (0..people).map(|_| ShopperPlan::choose(&mut chance, cap)).collect();
        let storm = u64::try_from(STORM.as_millis()).unwrap();
        let faults = (0..chance.random_range(2..6))
            .map(|_| At { at: millis(chance.random_range(200..storm)), what: Fault::choose(&mut chance) })
            .collect();
        let acts = (0..chance.random_range(0..4))
            .map(|_| At {
                at: millis(chance.random_range(200..storm)),
                what: Act::choose(&mut chance, stock),
            })
            .collect();
        let mut plan = Plan {
            seed,
            stock,
            cap,
            instant: chance.random_ratio(1, 4),
            ends_early: chance.random_ratio(1, 4),
            database: if chance.random_ratio(1, 4) { Database::Postgres } else { Database::Sqlite },
            clock_off_by: *pick(&mut chance, &[0, 0, 0, 3_600, -3_600]),
            shoppers,
            faults,
            acts,
            // Drawn last, so that the other choices of a seed stay what they were.
            always_synced: chance.random_ratio(3, 4),
        };
        plan.faults.sort_by_key(|fault| fault.at);
        plan.acts.sort_by_key(|act| act.at);
        plan
    }

    /// Whether Redis may forget something that it has answered.
    ///
    /// Then a reservation, an order or an operator's decision of the last two seconds may be gone. Stock and money must be
    /// right all the same.
    pub fn may_forget(&self) -> bool {
        !self.always_synced && self.faults.iter().any(|fault| matches!(fault.what, Fault::KillRedis))
    }
}

impl ShopperPlan {
    fn choose(chance: &mut ChaCha8Rng, cap: i64) -> ShopperPlan {
        let payments = [
            Payment::Once,
            Payment::Once,
            Payment::Twice,
            Payment::AfterForgery,
            Payment::SecondAttempt,
            Payment::BothAttempts,
            Payment::Late,
            Payment::WrongAmount,
        ];
        let after_hold = match chance.random_range(0..10) {
            0 => AfterHold::GiveBack,
            1 => AfterHold::LetLapse,
            2 => AfterHold::Cancel,
            3 => AfterHold::NeverPay,
            _ => AfterHold::Pay(*pick(chance, &payments)),
        };
        ShopperPlan {
            arrives: millis(chance.random_range(0..4_000)),
            host: chance.random_range(0..2),
            quantity: chance.random_range(1..=cap),
            after_hold,
            thinks: millis(chance.random_range(0..400)),
            wishes: chance.random_range(1..=2),
            double_clicks: chance.random_ratio(1, 5),
        }
    }
}

impl Fault {
    fn choose(chance: &mut ChaCha8Rng) -> Fault {
        let host = chance.random_range(0..2);
        let lasts = millis(chance.random_range(200..2_500));
        match chance.random_range(0..14) {
            0 | 1 => Fault::KillHost(host),
            2 => Fault::StopHost(host, lasts),
            3 | 4 => Fault::KillRedis,
            5 => Fault::StopRedis(lasts),
            6 => Fault::CutRedis(lasts),
            7 => Fault::SlowRedis { late: millis(chance.random_range(5..80)), lasts },
            8 => Fault::HangRedis(lasts),
            9 => Fault::FillDisk(lasts),
            10 => *pick(chance, &[Fault::FlushScripts, Fault::EmptyKeyValue]),
            11 => *pick(chance, &[Fault::LoseDoorbells, Fault::DoubleDoorbells]),
            12 => Fault::HangDatabase(lasts),
            _ => Fault::CutDatabase(lasts),
        }
    }
}

impl Act {
    fn choose(chance: &mut ChaCha8Rng, stock: i64) -> Act {
        match chance.random_range(0..5) {
            0 => Act::Pause(millis(chance.random_range(100..1_500))),
            1 | 2 => Act::SetTotal(chance.random_range(stock / 2..stock * 2 + 1)),
            3 => Act::Tick,
            _ => Act::Audit,
        }
    }
}

fn pick<'a, T>(chance: &mut ChaCha8Rng, choices: &'a [T]) -> &'a T {
    &choices[chance.random_range(0..choices.len())]
}

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "seed {}: {} units, cap {}, {} shoppers, {}{}, {:?}, appendfsync {}, second clock off by {} s",
            self.seed,
            self.stock,
            self.cap,
            self.shoppers.len(),
            if self.instant { "instant" } else { "queued" },
            if self.ends_early { ", ends early" } else { "" },
            self.database,
            if self.always_synced { "always" } else { "everysec" },
            self.clock_off_by,
        )?;
        for fault in &self.faults {
            writeln!(formatter, "  at {:>5} ms {:?}", fault.at.as_millis(), fault.what)?;
        }
        for act in &self.acts {
            writeln!(formatter, "  at {:>5} ms the operator: {:?}", act.at.as_millis(), act.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn the_same_seed_makes_the_same_plan() {
        assert_eq!(Plan::of(7).to_string(), Plan::of(7).to_string());
        assert_ne!(Plan::of(7).to_string(), Plan::of(8).to_string());
    }

    #[test]
    fn some_plans_let_redis_forget_and_most_do_not() {
        let forgetful = (0..100).filter(|seed| Plan::of(*seed).may_forget()).count();
        assert!((3..30).contains(&forgetful), "{forgetful}");
    }
}
