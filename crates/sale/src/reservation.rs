//! The states of a reservation and the only moves between them.

use serde::{Deserialize, Serialize};

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// Waiting in the lane's queue.
    Queued,
    /// A unit of stock is the shopper's until the hold lapses.
    Held,
    /// The stock was gone when its turn came. Final.
    SoldOut,
    /// The operator closed the item before its turn came. Final.
    Rejected,
    /// The shopper gave the place or the hold back. Final.
    Released,
    /// Checked out: what follows happens to its order. Final.
    Ordered,
    /// The hold lapsed. Final.
    Expired,
}

/// A place in a lane's queue, and what decides how soon its shopper's page asks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// From 1; 0 once it is decided.
    pub position: u64,
    /// How many wait in all.
    pub waiting: u64,
    /// Polls a second that all pages together should stay under; 0 for any number.
    pub polls_per_second: u32,
    /// Polls that this shopper may make in ten seconds; 0 for any number.
    pub polls_per_ten_seconds: u32,
    /// How long a hold lasts, in milliseconds, if there is a unit for this place now; else 0.
    pub hold_ms: u64,
}

impl Pace {
    /// The shortest wait between polls.
    const LEAST_MS: u64 = 250;
    /// Polls within a hold of a page whose shopper may get one, so that it sees the hold in time.
    const ASKS_PER_HOLD: u64 = 3;

    /// How long a page should wait before it asks for its reservation again, in milliseconds.
    ///
    /// All pages share two thirds of the `rate` equally: each asks every 1.5 × waiting / rate seconds. The last third is for
    /// the places near the head, which are decided first: they ask every 52 × position / rate seconds. The sum
    /// 1 + 1/2 + … + 1/n is below 17.3 for ten million places, so that many pages stay under the rate. A page whose shopper
    /// may get a unit asks three times within a hold in any case.
    ///
    /// No page is told to ask more often than its shopper's own allowance of polls refills. Otherwise a page that does as
    /// it is told would be refused.
    pub fn poll_after_ms(&self) -> u64 {
        self.shared_ms().max(self.least_ms())
    }

    /// The shortest wait between polls of this shopper, in milliseconds.
    fn least_ms(&self) -> u64 {
        match self.polls_per_ten_seconds {
            0 => Self::LEAST_MS,
            polls => 10_000_u64.div_ceil(u64::from(polls)).max(Self::LEAST_MS),
        }
    }

    /// The wait with which all pages together stay under the rate, in milliseconds.
    fn shared_ms(&self) -> u64 {
        if self.polls_per_second == 0 {
            return 0;
        }
        let rate = u64::from(self.polls_per_second);
        let alike = self.waiting.max(self.position).saturating_mul(1_500) / rate;
        let by_place = self.position.saturating_mul(52_000) / rate;
        let in_time = if self.hold_ms > 0 { self.hold_ms / Self::ASKS_PER_HOLD } else { u64::MAX };
        alike.min(by_place).min(in_time)
    }
}

/// What can happen to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReservationEvent {
    Granted,
    FoundNoStock,
    Refused,
    GivenBack,
    CheckedOut,
    Lapsed,
}

impl ReservationState {
    pub const ALL: [ReservationState; 7] = [
        ReservationState::Queued,
        ReservationState::Held,
        ReservationState::SoldOut,
        ReservationState::Rejected,
        ReservationState::Released,
        ReservationState::Ordered,
        ReservationState::Expired,
    ];

    /// The state after `event`, or nothing where the move is illegal. The table of all legal moves.
    pub fn after(self, event: ReservationEvent) -> Option<ReservationState> {
        use ReservationEvent as E;
        use ReservationState as S;
        match (self, event) {
            (S::Queued, E::Granted) => Some(S::Held),
            (S::Queued, E::FoundNoStock) => Some(S::SoldOut),
            (S::Queued, E::Refused) => Some(S::Rejected),
            (S::Queued | S::Held, E::GivenBack) => Some(S::Released),
            (S::Held, E::CheckedOut) => Some(S::Ordered),
            (S::Held, E::Lapsed) => Some(S::Expired),
            _ => None,
        }
    }

    /// The word for it, in scripts, responses and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ReservationState::Queued => "queued",
            ReservationState::Held => "held",
            ReservationState::SoldOut => "sold_out",
            ReservationState::Rejected => "rejected",
            ReservationState::Released => "released",
            ReservationState::Ordered => "ordered",
            ReservationState::Expired => "expired",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl ReservationEvent {
    pub const ALL: [ReservationEvent; 6] = [
        ReservationEvent::Granted,
        ReservationEvent::FoundNoStock,
        ReservationEvent::Refused,
        ReservationEvent::GivenBack,
        ReservationEvent::CheckedOut,
        ReservationEvent::Lapsed,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(position: u64, waiting: u64, polls_per_second: u32) -> Pace {
        Pace { position, waiting, polls_per_second, ..Pace::default() }
    }

    #[test]
    fn however_many_wait_they_ask_no_more_often_than_the_lane_should_be_asked() {
        for waiting in [1, 100, 7_000, 300_000] {
            for rate in [1, 1_000, 5_000, 100_000] {
                let asks: f64 = (1..=waiting)
                    .map(|place| 1_000.0 / pace(place, waiting, rate).poll_after_ms() as f64)
                    .sum();
                // Rounding down to milliseconds may cost a thousandth.
                assert!(
                    asks <= f64::from(rate) * 1.01 || waiting * 4 <= u64::from(rate),
                    "{waiting}, {rate}: {asks}"
                );
            }
        }
    }

    #[test]
    fn the_head_asks_sooner_than_the_tail_and_nobody_is_told_to_wait_for_ever() {
        let after = |position| pace(position, 10_000_000, 5_000).poll_after_ms();
        assert_eq!((after(1), after(100), after(10_000)), (250, 1_040, 104_000));
        assert_eq!((after(1_000_000), after(10_000_000)), (3_000_000, 3_000_000));
        assert_eq!(pace(7_000, 7_000, 5_000).poll_after_ms(), 2_100);
        assert_eq!(pace(100, 100, 5_000).poll_after_ms(), 250);
        assert_eq!(pace(u64::MAX, u64::MAX, 0).poll_after_ms(), 250);
        assert!(pace(u64::MAX, u64::MAX, 1).poll_after_ms() > 250);
    }

    #[test]
    fn no_page_is_told_to_ask_more_often_than_its_shopper_may() {
        for polls in 1..=10_000 {
            for position in [0, 1, 100, 10_000_000] {
                for hold_ms in [0, 3, 300_000] {
                    for rate in [0, 1, 5_000] {
                        let pace =
                            Pace { polls_per_ten_seconds: polls, hold_ms, ..pace(position, position, rate) };
                        let wait = pace.poll_after_ms();
                        assert!(wait * u64::from(polls) >= 10_000, "{pace:?}: {wait}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_page_that_may_get_a_unit_asks_three_times_within_the_hold() {
        let with_unit = Pace { hold_ms: 300_000, ..pace(1_000_000, 10_000_000, 5_000) };
        assert_eq!(with_unit.poll_after_ms(), 100_000);
        assert_eq!(Pace { hold_ms: 3, ..with_unit }.poll_after_ms(), 250);
    }
}
