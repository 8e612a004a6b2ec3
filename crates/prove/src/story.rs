//! What happened, told so that a person can follow it.

use crate::model::{Moment, Tail, Wish};
use crate::steps::{ADDRESSES, SHOPPERS, Step, Whose};
use crate::walk::Failure;
use crate::words;

/// One line of a story.
pub struct Line {
    pub clock: Moment,
    pub told: String,
    pub said: String,
}

/// The whole story of a failure.
pub fn tell(seed: u64, lines: &[Line], failure: &Failure) -> String {
    let mut story =
        format!("The model and the scripts differ. Seed {seed}, shrunk to {} steps:\n", lines.len());
    for (number, line) in lines.iter().enumerate() {
        let said = if line.said.is_empty() { String::new() } else { format!(" → {}", line.said) };
        story.push_str(&format!("{:3}. {} {}{said}\n", number + 1, words::clock(line.clock), line.told));
    }
    for difference in &failure.differences {
        story.push_str(&format!("     {difference}\n"));
    }
    story
}

/// The name of a step's kind.
pub fn kind(step: &Step) -> String {
    format!("{step:?}").chars().take_while(char::is_ascii_alphabetic).collect()
}

/// What was said, up to the first that differs from time to time.
pub fn without_numbers(said: &str) -> String {
    let end = said.find([',', ';', '(']).unwrap_or(said.len());
    said[..end].chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

fn of(target: Option<Tail>) -> String {
    target.map_or("nothing".to_owned(), words::reservation)
}

/// A step in words, with the reservation that it is about.
pub fn sentence(step: &Step, target: Option<Tail>) -> String {
    let name = |who: u8| SHOPPERS[usize::from(who)];
    let acts = |whose: &Whose, does: &str| {
        let of = of(target);
        let thing = if whose.by == whose.who { of } else { format!("{of} of {}", name(whose.who)) };
        format!("{} {does} {thing}", name(whose.by))
    };
    let dying = |dies: &Option<u32>| {
        dies.map(|commands| format!(", and dies after {commands} commands to Redis")).unwrap_or_default()
    };
    match step {
        Step::Wait(millis) => format!("{millis} ms pass"),
        Step::Publish { total, terms, rules } => {
            format!("the operator publishes {total} units: {terms:?}, {rules:?}")
        }
        Step::Revise { terms, rules } => format!("the operator revises the item: {terms:?}, {rules:?}"),
        Step::SetRules(rules) => format!("the operator sets {rules:?}"),
        Step::Switch(wanted) => format!("the operator switches the lane to {}", wanted.as_str()),
        Step::Stock { units, add, key } => {
            let key = key.map(|key| format!(" under key {key}")).unwrap_or_default();
            let does = if *add { "adds" } else { "sets the stock to" };
            format!("the operator {does} {units} units{key}")
        }
        Step::Describe => "the operator describes the item".to_owned(),
        Step::AskChallenge { who, address } => {
            format!("{} asks for a challenge from {}", name(*who), ADDRESSES[usize::from(*address)])
        }
        Step::Wish(Wish { who, quantity, challenge, address, rehearsal }) => {
            let from = address.map(|at| format!(" from {}", ADDRESSES[usize::from(at)])).unwrap_or_default();
            let does = if *rehearsal { "rehearses a wish for" } else { "asks for" };
            let challenge = match challenge {
                None => String::new(),
                Some((id, true)) => format!(" with challenge {id}"),
                Some((id, false)) => format!(" with challenge {id} and a wrong solution"),
            };
            format!("{} {does} {quantity}{challenge}{from}", name(*who))
        }
        Step::Poll { whose, .. } => acts(whose, "looks at"),
        Step::Release(whose) => acts(whose, "gives back"),
        Step::Checkout { whose, .. } => acts(whose, "checks out"),
        Step::Pay { whose, replace: false } => acts(whose, "opens a payment of"),
        Step::Pay { whose, replace: true } => acts(whose, "opens another payment of"),
        Step::Cancel(whose) => acts(whose, "cancels"),
        Step::Erase(whose) => {
            format!("an operator erases what {} wrote for {}", name(whose.who), of(target))
        }
        Step::Settle { whose, attempt, succeeded, off_by } => {
            let how = if *succeeded { "succeeded" } else { "failed" };
            let amount =
                if *off_by == 0 { String::new() } else { format!(" with an amount that is off by {off_by}") };
            format!(
                "the provider says that payment {attempt} of {} ({}) {how}{amount}",
                of(target),
                name(whose.who)
            )
        }
        Step::Refund { whose, attempt } => {
            let what = if *attempt == 0 { "the money".to_owned() } else { format!("payment {attempt}") };
            format!("the operator refunds {what} of {} ({})", of(target), name(whose.who))
        }
        Step::Register { whose, attempt } => {
            format!("payment {attempt} of {} ({}) is registered at the provider", of(target), name(whose.who))
        }
        Step::Choose { whose, attempt, choice } => {
            format!("{} chooses {choice:?} for payment {attempt} of {}", name(whose.by), of(target))
        }
        Step::Claim { wanted: None } => "somebody takes a webhook that is due".to_owned(),
        Step::Claim { wanted: Some((_, attempt)) } => {
            format!("somebody takes the webhook of payment {attempt} of {}", of(target))
        }
        Step::Report { before, delivery } => {
            format!("the try to tell the shop, {before} before the latest, was {delivery:?}")
        }
        Step::Remind => "somebody asks whether webhooks are due".to_owned(),
        Step::Mark { who } => format!("a sold-out mark is asked whether {} goes on", name(*who)),
        Step::Grant { most } => format!("grant decides up to {most}"),
        Step::Lapse { most } => format!("up to {most} lapse"),
        Step::Purge => "somebody purges the lane".to_owned(),
        Step::Alarm { dies } => format!("the alarm looks at the lane{}", dying(dies)),
        Step::Collect { dies } => format!("the changes go to the log{}", dying(dies)),
        Step::Copy { most, database_gone, dies_before_acknowledging } => {
            let trouble = match (database_gone, dies_before_acknowledging) {
                (true, _) => ", and the database is away",
                (_, true) => ", and the copier dies before it acknowledges",
                _ => "",
            };
            format!("the ledger copies up to {most} events{trouble}")
        }
        Step::PutCopyBy => "a copy of Redis is put by".to_owned(),
        Step::LoseToCopy => "Redis comes back with that copy".to_owned(),
        Step::LoseAll => "Redis comes back with nothing".to_owned(),
        Step::Mend { one_stage, dies } => {
            let how = if *one_stage { "one stage" } else { "to the end" };
            format!("the lane is mended, {how}{}", dying(dies))
        }
    }
}
