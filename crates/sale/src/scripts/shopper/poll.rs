use crate::allowance::{self, Counted};
use crate::ids::{ReservationId, UserId};
use crate::keys::LaneKeys;
use crate::reservation::{Pace, ReservationState};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;
use crate::time::Timestamp;

pub(crate) static SCRIPT: Script = script!("poll", 5, CALLERS);

/// A reservation as its shopper may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationView {
    pub state: ReservationState,
    pub quantity: u32,
    /// When a hold lapses.
    pub deadline: Option<Timestamp>,
    pub overdue: Overdue,
    /// The place in the queue, and when to ask again. Only for queued reservations.
    pub pace: Pace,
}

/// Work of the lane that has waited too long, because a doorbell or an alarm was lost. The function that polls does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overdue {
    pub queue: bool,
    pub deadlines: bool,
}

/// What a poll finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    Found(ReservationView),
    /// It is not this shopper's, or does not exist.
    NotFound,
    RateLimited {
        retry_after_ms: u64,
    },
}

impl<R: Redis> Engine<R> {
    /// Shows `user` their reservation. If polls are `limited`, the one allowance is the shopper's.
    pub async fn poll(
        &self,
        id: &ReservationId,
        user: &UserId,
        limited: bool,
    ) -> Result<Counted<Polled>, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let [even, odd] = keys.callers();
        let bucket = if limited { allowance::polls(user) } else { String::new() };
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.reservations(), &keys.deadlines(), &even, &odd],
                &[user.as_str(), id.tail.as_str(), &bucket],
            )
            .await?;
        let outcome = match reply.text()?.as_str() {
            "found" => Polled::Found(ReservationView {
                state: reply.reservation_state()?,
                quantity: reply.quantity()?,
                deadline: reply.moment_if_any()?,
                overdue: Overdue { queue: reply.int()? == 1, deadlines: reply.int()? == 1 },
                pace: reply.pace()?,
            }),
            "not_found" => Polled::NotFound,
            "rate_limited" => Polled::RateLimited { retry_after_ms: reply.count()? },
            _ => return Err(reply.unexpected()),
        };
        reply.counted(outcome)
    }
}
