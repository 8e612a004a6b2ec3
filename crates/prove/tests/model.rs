//! The model and the scripts, a short run; and whether the model sees a script that is wrong.

use prove::defects::kept;
use prove::redis::Defect;
use prove::run::{Until, run};

/// Any number; each walk has the next.
const SEED: u64 = 20_261_121;
const WALKS: u64 = 150;

#[test]
fn the_scripts_do_as_the_model_does() {
    let outcome = run(SEED, Until::Walks(WALKS), 2, &[]).unwrap();
    if let Some(story) = outcome.failure {
        panic!("{story}");
    }
    assert_eq!(outcome.walks, WALKS);
    assert!(outcome.steps > 5_000, "{} steps", outcome.steps);
}

#[test]
fn a_run_sees_every_kind_of_reply() {
    let seen = run(SEED, Until::Walks(4 * WALKS), 2, &[]).unwrap().seen;
    // These replies are rare, and no other check would notice if they never came.
    let rare = [
        "Wish: has # already",
        "Wish: the queue is full",
        "Wish: too many",
        "Wish: challenge failed",
        "Wish: starts at",
        "Wish: would be admitted",
        "AskChallenge: too many",
        "Poll: too many",
        "Checkout: the hold expired",
        ": unavailable (away)",
        "Settle: wrong amount",
        "Settle: settled: refund_due",
        "Refund: refunded",
        "Mark: goes on",
        "Mark: is refused",
        "Purge: purged",
        "Purge: unsettled",
        "SetRules: younger",
        "Revise: newer terms hold",
        "Stock: the key belongs to another request",
        "Pay: too many payments",
        "Claim: claimed",
        "Erase: erased",
        "Mend:  told again",
        "rebuilt",
    ];
    for rare in rare {
        assert!(seen.iter().any(|kind| kind.contains(rare)), "`{rare}` was not seen: {seen:#?}");
    }
}

/// Each defect is one change of one script's text.
#[test]
fn every_kept_defect_is_found() {
    let missed: Vec<_> = kept()
        .filter(|(_, defect)| {
            run(SEED, Until::Walks(4 * WALKS), 2, std::slice::from_ref(defect)).unwrap().failure.is_none()
        })
        .map(|(meaning, _)| meaning)
        .collect();
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn a_script_that_is_wrong_is_found_and_its_story_is_short() {
    // Grants one unit more than there is.
    let defect = Defect {
        script: "grant".to_owned(),
        from: "elseif available >= quantity then".to_owned(),
        to: "elseif available + 1 >= quantity then".to_owned(),
    };
    let story = run(SEED, Until::Walks(WALKS), 1, &[defect]).unwrap().failure.expect("it is found");
    let steps = story.lines().filter(|line| line.contains(". 10:")).count();
    assert!(steps <= 6, "{story}");
    for words in ["grant decides", "the model says", "asks for", "Seed "] {
        assert!(story.contains(words), "`{words}` is missing:\n{story}");
    }
}
