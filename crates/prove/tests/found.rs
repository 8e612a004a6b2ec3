//! What the model found, each as its shortest story. The story goes well with the scripts as they are, and fails where a
//! script has the fault again.

// Also in functions that several tests share, a panic is how a test fails.
#![allow(clippy::unwrap_used)]

use prove::model::{BEGIN, Rules, Terms, Who, Wish};
use prove::redis::Defect;
use prove::steps::{Step, Whose};
use prove::walk::World;
use sale::item::Switch;

const ANN: Who = 0;
const BOB: Who = 1;

fn terms() -> Terms {
    Terms {
        version: 1,
        starts_at: BEGIN,
        ends_at: BEGIN + 86_400_000,
        cap: 4,
        instant: true,
        price: 100,
        hold_ms: 120_000,
        pay_ms: 600_000,
        retention_ms: 86_400_000,
    }
}

fn rules() -> Rules {
    Rules {
        shop_version: 1,
        item_version: 1,
        tries: 5,
        address_tries: 0,
        polls: 0,
        polls_per_second: 0,
        units_per_second: 0,
        queue_factor: 100,
        paused: false,
    }
}

fn pausing() -> Rules {
    Rules { paused: true, ..rules() }
}

fn publish(terms: Terms) -> Step {
    Step::Publish { total: 5, terms, rules: rules() }
}

fn wish(who: Who) -> Step {
    Step::Wish(Wish { who, quantity: 1, challenge: None, address: Some(0), rehearsal: false })
}

fn own(who: Who) -> Whose {
    Whose { who, before: 0, by: who }
}

fn copy() -> Step {
    Step::Copy { most: 250, database_gone: false, dies_before_acknowledging: false }
}

fn mend() -> Step {
    Step::Mend { one_stage: false, dies: None }
}

/// What both say goes well, and with the fault it does not.
fn check(steps: &[Step], fault: Option<[&str; 3]>) {
    let walked = World::new(&[]).unwrap().walk(steps, false).unwrap();
    let failure = walked.failure.map(|failure| (failure.at, failure.differences));
    assert_eq!(failure, None);
    assert_eq!(walked.steps, steps.len());
    if let Some([script, from, to]) = fault {
        let defect = Defect { script: script.into(), from: from.into(), to: to.into() };
        let walked = World::new(&[defect]).unwrap().walk(steps, false).unwrap();
        assert!(walked.failure.is_some(), "the fault in {script} is not seen");
    }
}

#[test]
fn a_token_that_an_admission_gives_back_stays_given_back_in_the_next_ten_seconds() {
    let asks = Step::AskChallenge { who: BOB, address: 0 };
    let rules = Rules { address_tries: 7, ..rules() };
    let publish = Step::Publish { total: 5, terms: terms(), rules };
    let steps = [publish, Step::Wait(9_000), asks.clone(), Step::Wait(1_100), wish(ANN), wish(BOB), asks];
    check(&steps, Some(["reserve", ", key == even and odd or even)", ")"]));
}

#[test]
fn an_outbox_that_was_copied_during_a_rebuild_is_not_overdue() {
    let stage = Step::Mend { one_stage: true, dies: None };
    let mut steps = vec![publish(terms()), wish(ANN), Step::PutCopyBy];
    steps.extend([Step::Stock { units: 1, add: false, key: None }, copy(), Step::LoseToCopy]);
    steps.push(Step::Checkout { whose: own(ANN), words: 0 });
    steps.extend(std::iter::repeat_n(stage, 8));
    check(&steps, Some(["finish", "redis.call('HDEL', lane, 'outbox_since')", ""]));
}

#[test]
fn a_hold_keeps_its_price_when_the_order_database_has_another() {
    let dearer = Terms { price: 200, version: 2, ..terms() };
    let steps = [
        publish(terms()),
        wish(ANN),
        Step::PutCopyBy,
        Step::Revise { terms: dearer, rules: rules() },
        copy(),
        Step::LoseToCopy,
        mend(),
        Step::Checkout { whose: own(ANN), words: 0 },
    ];
    check(&steps, Some(["begin", "if seq and price_before ~= price then", "if false then"]));
}

#[test]
fn rules_do_not_end_a_pause_that_an_operator_confirmed_after_the_loss() {
    let steps = [
        publish(terms()),
        Step::PutCopyBy,
        Step::SetRules(pausing()),
        copy(),
        Step::LoseToCopy,
        Step::Switch(Switch::Paused),
        mend(),
        Step::SetRules(rules()),
        wish(ANN),
    ];
    check(&steps, None);
}

#[test]
fn a_closed_item_is_not_noted_as_paused_by_the_rules_after_a_rebuild() {
    let steps = [
        publish(terms()),
        Step::PutCopyBy,
        Step::Switch(Switch::Closed),
        copy(),
        Step::LoseToCopy,
        Step::SetRules(pausing()),
        mend(),
    ];
    check(
        &steps,
        Some(["pass", "if redis.call('HGET', rebuilding, 'switch') ~= 'paused' then", "if false then"]),
    );
}

#[test]
fn an_earlier_end_decides_the_queue_of_a_paused_item() {
    let queued = Terms { instant: false, ..terms() };
    let steps = [
        publish(queued.clone()),
        wish(ANN),
        Step::Switch(Switch::Paused),
        Step::Grant { most: 10 },
        Step::Wait(60_000),
        Step::Revise { terms: Terms { ends_at: BEGIN + 30_000, ..queued }, rules: rules() },
        Step::Grant { most: 10 },
    ];
    let fault = [
        "publish_lane",
        "if is_over_in_pause(redis.call('HGET', lane, 'switch'), ends_at) and",
        "if false and",
    ];
    check(&steps, Some(fault));
}

#[test]
fn a_pause_by_rules_that_an_operator_made_their_own_is_theirs_after_a_loss() {
    let steps = [
        publish(terms()),
        Step::SetRules(pausing()),
        Step::PutCopyBy,
        Step::Stock { units: 1, add: true, key: None },
        copy(),
        Step::LoseToCopy,
        Step::Switch(Switch::Paused),
        mend(),
        Step::SetRules(rules()),
        wish(ANN),
    ];
    let fault = ["switch_lane", "if wanted ~= switch or paused_by_rules then", "if wanted ~= switch then"];
    check(&steps, Some(fault));
}

#[test]
fn a_copy_from_before_a_purge_logs_no_change_again() {
    let steps = [
        publish(terms()),
        Step::PutCopyBy,
        Step::Collect { dies: None },
        copy(),
        Step::Wait(2 * 86_400_000),
        Step::Purge,
        Step::LoseToCopy,
        Step::Collect { dies: None },
    ];
    let fault = [
        "log_change",
        "if number <= tonumber(redis.call('ZSCORE', positions, this_lane) or 0) then",
        "if false then",
    ];
    check(&steps, Some(fault));
}

#[test]
fn a_reservation_that_was_given_back_is_forgotten_by_the_next_that_is() {
    let steps = [
        publish(terms()),
        wish(ANN),
        Step::Release(own(ANN)),
        Step::Wait(601_000),
        wish(BOB),
        Step::Release(own(BOB)),
        Step::Poll { whose: own(ANN), limited: false },
    ];
    check(&steps, Some(["release", "forget_ended(reservations, ended, 3)\n", "\n"]));
}

#[test]
fn a_place_that_was_given_back_and_forgotten_is_passed_over() {
    let steps = [
        publish(Terms { instant: false, ..terms() }),
        wish(ANN),
        Step::Switch(Switch::Paused),
        Step::Release(own(ANN)),
        Step::Wait(601_000),
        Step::Lapse { most: 10 },
        Step::Switch(Switch::Open),
        Step::Grant { most: 10 },
    ];
    check(&steps, Some(["grant", "if records[at] then", "if true then"]));
}

#[test]
fn a_shopper_who_holds_the_last_unit_goes_on_and_others_are_refused() {
    let steps = [
        publish(Terms { instant: false, ..terms() }),
        Step::Stock { units: 1, add: false, key: None },
        wish(ANN),
        Step::Mark { who: ANN },
        Step::Grant { most: 10 },
        Step::Mark { who: ANN },
        Step::Mark { who: BOB },
    ];
    check(&steps, Some(["grant", "note_holders(lane, holders, winners)\n", "\n"]));
}
