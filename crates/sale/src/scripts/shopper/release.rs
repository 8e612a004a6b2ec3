use crate::allowance;
use crate::ids::{ReservationId, UserId};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("release", 10, CALLERS, STOCK, RETURNS, ENDED);

/// What became of giving a reservation back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// It is given back, now or before.
    Done,
    /// It is past the point of giving back.
    Conflict(ReservationState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Gives a place in the queue or a hold back. A reservation that ended more than ten minutes ago may be forgotten.
    pub async fn release(&self, id: &ReservationId, user: &UserId) -> Result<Released, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let [even, odd] = keys.callers();
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[
                    &keys.lane(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.series(),
                    &even,
                    &odd,
                    &keys.ended(),
                ],
                &[user.as_str(), id.tail.as_str(), &allowance::shopper(user)],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "released" => Released::Done,
            "conflict" => Released::Conflict(reply.reservation_state()?),
            "not_found" => Released::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
