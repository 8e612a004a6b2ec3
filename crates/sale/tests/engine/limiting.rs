//! Every reply of `count_challenge` and `spend_allowance`, and how allowances change `reserve`, `poll`, `release` and `cancel`.

use crate::shop::{NOW, Shop, user};
use sale::allowance::{Allowance, CALLERS_SECONDS, Counted, MINUTE_SECONDS};
use sale::item::Mode;
use sale::keys::{OPERATOR_FAILURES, SESSIONS};
use sale::rules::{LaneRules, VersionedRules};
use sale::scripts::{ChallengeCount, ChallengeUse, Polled, ReservationView, Reserved, Spent, Wish};

const PERIOD: i64 = 10_000;

/// An allowance, the tokens that are left of it, and in how many milliseconds there is one more.
fn told(allowances: &[Allowance], period: u32) -> Vec<(u32, u32, u64)> {
    allowances
        .iter()
        .map(|allowance| (allowance.capacity, allowance.left(), allowance.next_ms(period)))
        .collect()
}

fn left<T>(counted: &Counted<T>) -> u32 {
    counted.allowances[0].left()
}

/// An open item of many units with these allowances, at the beginning of a turn.
async fn limited(limits: LaneRules) -> Shop {
    let shop = Shop::with(1_000, |terms| {
        terms.rules = VersionedRules { rules: limits, ..VersionedRules::NONE };
        terms.per_user_limit = 100;
    })
    .await;
    shop.set_now(NOW - NOW % PERIOD + PERIOD);
    shop
}

async fn reserve(
    shop: &Shop,
    name: &str,
    address: &str,
    challenge: Option<ChallengeUse>,
) -> Counted<Reserved> {
    let user = user(name);
    let wish = Wish { user: &user, quantity: 1, tail: shop.tail(), challenge, address: Some(address) };
    shop.engine().reserve(&shop.lane, &wish).await.unwrap()
}

async fn ask(shop: &Shop, name: &str, address: &str) -> Counted<ChallengeCount> {
    shop.engine().count_challenge(&shop.lane, &user(name), address).await.unwrap()
}

fn wait(outcome: &ChallengeCount) -> Option<u64> {
    match outcome {
        ChallengeCount::Counted { .. } => None,
        ChallengeCount::RateLimited { retry_after_ms } => Some(*retry_after_ms),
        ChallengeCount::NotFound => panic!("it is published"),
    }
}

fn tries(shopper: u32, address: u32) -> LaneRules {
    LaneRules { tries_per_ten_seconds: shopper, address_tries_per_ten_seconds: address, ..LaneRules::NONE }
}

#[tokio::test]
async fn a_shopper_has_so_many_tries_and_gets_them_back_one_by_one() {
    let shop = limited(tries(4, 0)).await;
    for left in [3, 2, 1, 0] {
        let counted = ask(&shop, "ann", "192.0.2.1").await;
        assert_eq!(counted.outcome, ChallengeCount::Counted { waiting: 0, total: 1_000 });
        assert_eq!(told(&counted.allowances, CALLERS_SECONDS), [(4, left, 2_500), (0, 0, 0)]);
    }
    shop.advance(100);
    assert_eq!(wait(&ask(&shop, "ann", "192.0.2.1").await.outcome), Some(2_400));
    // A refusal costs nothing here, and other shoppers have an allowance of their own.
    assert_eq!(wait(&ask(&shop, "ann", "192.0.2.1").await.outcome), Some(2_400));
    assert_eq!(wait(&ask(&shop, "bob", "192.0.2.1").await.outcome), None);
    shop.advance(2_399);
    assert_eq!(wait(&ask(&shop, "ann", "192.0.2.1").await.outcome), Some(1));
    shop.advance(1);
    assert_eq!(wait(&ask(&shop, "ann", "192.0.2.1").await.outcome), None);
    assert_eq!(wait(&ask(&shop, "ann", "192.0.2.1").await.outcome), Some(2_500));
}

#[tokio::test]
async fn a_debt_outlives_the_turn_of_the_keys_and_no_more_than_a_period() {
    let shop = limited(tries(4, 0)).await;
    shop.advance(PERIOD - 1_000);
    for _ in 0..4 {
        assert_eq!(wait(&ask(&shop, "ann", "-").await.outcome), None);
    }
    shop.advance(1_500);
    assert_eq!(wait(&ask(&shop, "ann", "-").await.outcome), Some(1_000));
    shop.advance(1_000);
    assert_eq!(wait(&ask(&shop, "ann", "-").await.outcome), None);
    // Two turns later, the same key serves again.
    shop.advance(2 * PERIOD);
    let counted = ask(&shop, "ann", "-").await;
    assert_eq!(told(&counted.allowances, CALLERS_SECONDS)[0], (4, 3, 2_500));
}

#[tokio::test]
async fn over_a_long_time_nobody_gets_more_than_a_bucket_and_its_refill() {
    for (limit, every) in [(3, 170), (7, 41), (60, 10), (1_000, 1)] {
        let shop = limited(tries(limit, 0)).await;
        let (mut had, steps) = (0_u32, 1_500);
        for _ in 0..steps {
            had += u32::from(wait(&ask(&shop, "ann", "-").await.outcome).is_none());
            shop.advance(every);
        }
        let refill = f64::from(limit) * (steps as f64 * every as f64) / PERIOD as f64;
        let most = (f64::from(limit) + refill).min(steps as f64);
        // Rounding is in the shopper's favour, and less than a hundredth.
        assert!(
            f64::from(had) <= most * 1.01 + 1.0 && f64::from(had) >= most * 0.97 - 1.0,
            "{limit}: {had} of {most}"
        );
    }
}

#[tokio::test]
async fn an_address_is_limited_over_all_its_shoppers() {
    let shop = limited(tries(100, 5)).await;
    for n in 0..5 {
        let counted = reserve(&shop, &format!("user-{n}"), "198.51.100.7", None).await;
        assert!(matches!(counted.outcome, Reserved::Queued { .. }), "{counted:?}");
        assert_eq!(told(&counted.allowances, CALLERS_SECONDS)[1], (5, 4 - n, 2_000));
    }
    let counted = reserve(&shop, "late", "198.51.100.7", None).await;
    assert_eq!(counted.outcome, Reserved::RateLimited { retry_after_ms: 2_000 });
    assert!(matches!(reserve(&shop, "late", "198.51.100.8", None).await.outcome, Reserved::Queued { .. }));
    // A shopper with a reservation may always ask again, at no cost.
    for _ in 0..10 {
        let counted = reserve(&shop, "user-1", "198.51.100.7", None).await;
        assert!(matches!(counted.outcome, Reserved::Existing { .. }), "{counted:?}");
    }
    assert_eq!(wait(&ask(&shop, "user-1", "198.51.100.7").await.outcome), Some(2_000));
    // Without allowances, the scripts look at none of this.
    assert!(matches!(shop.reserve("other", 1).await, Reserved::Queued { .. }));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_for_too_many_tries_leaves_the_challenge_good_and_a_wrong_solution_costs_three() {
    let shop = limited(tries(7, 0)).await;
    let challenge = |id, answered| Some(shop.challenge(id, answered));
    let try_with = async |id, answered| reserve(&shop, "ann", "-", challenge(id, answered)).await;
    assert_eq!(try_with("a", false).await.outcome, Reserved::ChallengeFailed);
    // A used challenge counts like a wrong solution.
    let counted = try_with("a", true).await;
    assert_eq!((counted.outcome.clone(), left(&counted)), (Reserved::ChallengeFailed, 1));
    // The last token pays for the try, though the wrong solution costs three.
    let counted = try_with("b", false).await;
    assert_eq!((counted.outcome.clone(), left(&counted)), (Reserved::ChallengeFailed, 0));
    let good = challenge("c", true);
    let counted = reserve(&shop, "ann", "-", good).await;
    let Reserved::RateLimited { retry_after_ms } = counted.outcome else { panic!("{counted:?}") };
    assert_eq!(retry_after_ms, counted.allowances[0].next_ms(CALLERS_SECONDS));
    shop.advance(i64::try_from(retry_after_ms).unwrap());
    assert!(matches!(try_with("c", true).await.outcome, Reserved::Queued { .. }));
    assert_eq!(shop.view().await.admitted, 1);
}

#[tokio::test]
async fn every_refusal_costs_a_token_and_an_admission_gives_the_token_of_the_challenge_back() {
    let shop = limited(tries(10, 50)).await;
    let after = async |name| ask(&shop, name, "-").await.allowances[0].left();
    assert_eq!(after("ann").await, 9);
    assert!(matches!(reserve(&shop, "ann", "-", None).await.outcome, Reserved::Queued { .. }));
    assert_eq!(after("ann").await, 9, "as before the first challenge");
    shop.engine().switch(&shop.lane, sale::item::Switch::Paused).await.unwrap();
    for expected in [9, 8, 7] {
        let counted = reserve(&shop, "bob", "-", None).await;
        assert_eq!((counted.outcome.clone(), left(&counted)), (Reserved::Paused, expected));
    }
}

#[tokio::test]
async fn a_rehearsal_is_paid_for_where_it_is_a_refusal_and_only_there() {
    let shop = limited(tries(10, 10)).await;
    let rehearse = async |name: &str, id: &str| {
        let (user, challenge) = (user(name), Some(shop.challenge(id, true)));
        let wish = Wish { user: &user, quantity: 1, tail: shop.tail(), challenge, address: Some("-") };
        shop.engine().rehearse(&shop.lane, &wish).await.unwrap()
    };
    let counted = rehearse("ann", "a").await;
    assert_eq!((counted.outcome.clone(), left(&counted)), (None, 10));
    assert!(matches!(
        reserve(&shop, "bob", "-", Some(shop.challenge("a", true))).await.outcome,
        Reserved::Queued { .. }
    ));
    let counted = rehearse("ann", "a").await;
    assert_eq!((counted.outcome.clone(), left(&counted)), (Some(Reserved::ChallengeFailed), 10));
    shop.engine().switch(&shop.lane, sale::item::Switch::Paused).await.unwrap();
    let counted = rehearse("ann", "b").await;
    assert_eq!((counted.outcome.clone(), left(&counted)), (Some(Reserved::Paused), 9));
}

#[tokio::test]
async fn taking_and_giving_back_again_and_again_is_slowed_down() {
    let shop = limited(tries(10, 0)).await;
    let mut rounds = 0;
    let waits = loop {
        let counted = reserve(&shop, "ann", "-", None).await;
        match counted.outcome {
            Reserved::Queued { id, .. } => {
                shop.engine().release(&id, &user("ann")).await.unwrap();
                rounds += 1;
            }
            Reserved::RateLimited { retry_after_ms } => break retry_after_ms,
            other => panic!("{other:?}"),
        }
        assert!(rounds < 10);
    };
    assert!((3..=5).contains(&rounds) && waits > 0, "{rounds} rounds, then {waits} ms");

    // An order that is cancelled as well; giving back itself is never refused.
    let order = shop.ordered("bob").await;
    let before = ask(&shop, "bob", "-").await.allowances[0].left();
    shop.engine().cancel(&order.id, &user("bob")).await.unwrap();
    assert_eq!(ask(&shop, "bob", "-").await.allowances[0].left(), before - 4);
    let id = shop.queued("cat").await;
    while wait(&ask(&shop, "cat", "-").await.outcome).is_none() {}
    shop.engine().release(&id, &user("cat")).await.unwrap();
    shop.engine().release(&id, &user("cat")).await.unwrap();
    let Some(first) = wait(&ask(&shop, "cat", "-").await.outcome) else { panic!() };
    assert_eq!(first, 4_000, "three for the first, none for its repetition");
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_item_admits_so_many_units_a_second_and_says_when_the_next() {
    for mode in [Mode::Queued, Mode::Instant] {
        let shop = Shop::with(1_000, |terms| {
            let limits = LaneRules { units_per_second: 4, ..LaneRules::NONE };
            terms.rules = VersionedRules { rules: limits, ..VersionedRules::NONE };
            (terms.mode, terms.per_user_limit) = (mode, 100);
        })
        .await;
        let admitted =
            |outcome: &Reserved| matches!(outcome, Reserved::Queued { .. } | Reserved::Held { .. });
        for n in 0..4 {
            assert!(admitted(&shop.reserve(&format!("user-{n}"), 1).await));
        }
        // It holds also without allowances, and leaves the challenge good.
        let challenge = shop.challenge("c", true);
        let refused = shop.reserve_answering("late", 1, Some(challenge)).await;
        assert_eq!(refused, Reserved::RateLimited { retry_after_ms: 250 });
        shop.advance(249);
        assert_eq!(shop.reserve("late", 1).await, Reserved::RateLimited { retry_after_ms: 1 });
        shop.advance(1);
        assert!(admitted(&shop.reserve_answering("late", 1, Some(shop.challenge("c", true))).await));
        // More than a second's worth is admitted when nothing else was lately, and then waited for.
        shop.advance(999);
        assert_eq!(shop.reserve("many", 12).await, Reserved::RateLimited { retry_after_ms: 1 });
        shop.advance(1);
        assert!(admitted(&shop.reserve("many", 12).await));
        assert_eq!(shop.reserve("next", 1).await, Reserved::RateLimited { retry_after_ms: 2_250 });
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn polls_have_an_allowance_of_their_own_which_finds_and_strangers_share() {
    let limits = LaneRules { polls_per_ten_seconds: 5, polls_per_second: 40, ..tries(1, 0) };
    let shop = limited(limits).await;
    let id = shop.queued("ann").await;
    for n in 1..40 {
        shop.queued(&format!("user-{n}")).await;
    }
    let poll = async |name| shop.engine().poll(&id, &user(name), true).await.unwrap();
    for left in [4, 3, 2, 1, 0] {
        let counted = poll("ann").await;
        let Polled::Found(ReservationView { pace, .. }) = counted.outcome else { panic!("{counted:?}") };
        assert_eq!((pace.position, pace.waiting, pace.polls_per_second), (1, 40, 40));
        assert_eq!((pace.polls_per_ten_seconds, pace.poll_after_ms()), (5, 2_000));
        assert_eq!(told(&counted.allowances, CALLERS_SECONDS), [(5, left, 2_000)]);
        assert_eq!(poll("eve").await.outcome, Polled::NotFound);
    }
    for name in ["ann", "eve"] {
        assert_eq!(poll(name).await.outcome, Polled::RateLimited { retry_after_ms: 2_000 });
    }
    // Tries have a bucket of their own, and polls without an allowance are not counted.
    assert_eq!(wait(&ask(&shop, "ann", "-").await.outcome), None);
    assert!(matches!(
        shop.engine().poll(&id, &user("ann"), false).await.unwrap(),
        Counted { outcome: Polled::Found(_), allowances } if allowances.is_empty()
    ));
}

#[tokio::test]
async fn buckets_are_two_keys_however_many_callers_and_leave_by_themselves() {
    let shop = limited(tries(10, 10)).await;
    let before = shop.redis.number("DBSIZE", &[]).await;
    for turn in 0..3 {
        for n in 0..50 {
            ask(&shop, &format!("user-{n}"), &format!("192.0.2.{n}")).await;
        }
        assert!(shop.redis.number("DBSIZE", &[]).await <= before + 2, "turn {turn}");
        for key in shop.keys.callers() {
            let left = shop.redis.number("PTTL", &[&key]).await;
            assert!(left == -2 || (left > 0 && left <= 2 * PERIOD), "{key}: {left}");
        }
        shop.advance(PERIOD);
    }
    // Two buckets a caller and the turn's number; those of the turn before last are gone.
    for key in shop.keys.callers() {
        assert_eq!(shop.redis.number("HLEN", &[&key]).await, 101);
    }
}

#[tokio::test]
async fn an_item_that_is_not_published_counts_nothing() {
    let shop = Shop::empty().await;
    assert_eq!(
        ask(&shop, "ann", "-").await,
        Counted { outcome: ChallengeCount::NotFound, allowances: vec![] }
    );
    assert_eq!(shop.redis.number("DBSIZE", &[]).await, 0);
}

#[tokio::test]
async fn an_allowance_that_changes_keeps_its_bucket() {
    let shop = limited(tries(4, 0)).await;
    for _ in 0..4 {
        ask(&shop, "ann", "-").await;
    }
    let limit = async |limits| {
        let limits = VersionedRules { rules: limits, shop_version: 1, item_version: 0 };
        shop.engine().apply_rules(&shop.lane, &limits).await.unwrap();
    };
    limit(tries(10, 0)).await;
    assert_eq!(wait(&ask(&shop, "ann", "-").await.outcome), Some(1_000), "as empty as before");
    limit(tries(0, 0)).await;
    assert_eq!(ask(&shop, "ann", "-").await.allowances, []);
}

#[tokio::test]
async fn sessions_and_wrong_operator_tokens_of_an_address_are_counted_by_the_minute() {
    let shop = Shop::empty().await;
    shop.set_now(NOW - NOW % 60_000 + 45_000);
    let session = async |address: &str, most| shop.engine().count_session(address, most).await.unwrap();
    for left in [2, 1, 0] {
        let counted = session("192.0.2.1", 3).await;
        assert_eq!(counted.outcome, Spent::Done);
        assert_eq!(told(&counted.allowances, MINUTE_SECONDS), [(3, left, 20_000)]);
    }
    let limited = |retry_after_ms| Spent::RateLimited { retry_after_ms };
    assert_eq!(session("192.0.2.1", 3).await.outcome, limited(20_000));
    assert_eq!(session("2001:db8::/64", 3).await.outcome, Spent::Done);
    // A new minute gives nothing back.
    shop.advance(19_999);
    assert_eq!(session("192.0.2.1", 3).await.outcome, limited(1));
    shop.advance(1);
    assert_eq!(session("192.0.2.1", 3).await.outcome, Spent::Done);
    assert_eq!(session("192.0.2.1", 3).await.outcome, limited(20_000));
    let failure = shop.engine().count_operator_failure("192.0.2.1", 1).await.unwrap();
    assert_eq!(failure.outcome, Spent::Done, "counted apart");
    for key in SESSIONS.into_iter().chain(OPERATOR_FAILURES) {
        let left = shop.redis.number("PTTL", &[key]).await;
        assert!(left == -2 || (left > 0 && left <= 120_000), "{key}: {left}");
    }
    assert_eq!(shop.redis.number("DBSIZE", &[]).await, 3);
}

#[tokio::test]
async fn where_redis_cannot_write_a_poll_still_answers() {
    let shop = limited(LaneRules { polls_per_ten_seconds: 5, ..tries(5, 5) }).await;
    let id = shop.queued("ann").await;
    shop.redis.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    for _ in 0..7 {
        let counted = shop.engine().poll(&id, &user("ann"), true).await.unwrap();
        assert!(matches!(counted.outcome, Polled::Found(_)), "{counted:?}");
    }
}
