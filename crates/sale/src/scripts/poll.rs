use super::{Engine, EngineError, Script, script};
use crate::ids::{ReservationId, UserId};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("poll", 3);

/// A reservation as its shopper may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationView {
    pub state: ReservationState,
    pub quantity: u32,
    /// Place in the queue from 1; meaningful while queued.
    pub position: u64,
    /// When a hold lapses.
    pub deadline: Option<Timestamp>,
    pub overdue: Overdue,
}

/// Work of the lane that has waited too long: a doorbell or an alarm was lost. Whoever is told does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overdue {
    pub queue: bool,
    pub deadlines: bool,
}

impl<R: Redis> Engine<R> {
    /// Shows `user` their reservation, or nothing where it is not theirs or does not exist.
    pub async fn poll(
        &self,
        id: &ReservationId,
        user: &UserId,
    ) -> Result<Option<ReservationView>, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.reservations(), &keys.deadlines()],
                &[user.as_str(), id.tail.as_str()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "found" => Some(ReservationView {
                state: answer.reservation_state()?,
                quantity: answer.quantity()?,
                position: answer.count()?,
                deadline: answer.moment_if_any()?,
                overdue: Overdue { queue: answer.int()? == 1, deadlines: answer.int()? == 1 },
            }),
            "not_found" => None,
            _ => return Err(answer.unexpected()),
        })
    }
}
