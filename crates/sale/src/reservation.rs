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

/// How long a page should wait before it asks for its reservation again, in milliseconds.
///
/// Somebody near the head is decided within a moment; somebody at place 100,000 need not ask every second. So ten
/// million waiting pages ask about 300,000 times a second in all, and nobody waits longer than 30 s for their result.
pub fn poll_after_ms(position: u64) -> u64 {
    (250 + position / 20).min(30_000)
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

    /// The word for it, in scripts, answers and the database.
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
