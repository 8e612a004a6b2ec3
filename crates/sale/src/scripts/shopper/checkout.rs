use crate::ids::{ReservationId, UserId};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::script;
use crate::scripts::{Contact, Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("checkout", 8, ORDERS);

/// What became of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedOut {
    /// The order, made now.
    Made(OrderView),
    /// The order that an earlier checkout made.
    Existing(OrderView),
    HoldExpired,
    /// There is no hold to check out.
    Conflict(ReservationState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Turns a hold into an order, once.
    pub async fn checkout(
        &self,
        id: &ReservationId,
        user: &UserId,
        contact: &Contact,
    ) -> Result<CheckedOut, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[
                    &keys.lane(),
                    &keys.reservations(),
                    &keys.orders(),
                    &keys.details(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.alarm(),
                    &keys.series(),
                ],
                &[user.as_str(), id.tail.as_str(), &contact.to_json()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "made" => CheckedOut::Made(reply.order(&id.order())?),
            "existing" => CheckedOut::Existing(reply.order(&id.order())?),
            "hold_expired" => CheckedOut::HoldExpired,
            "conflict" => CheckedOut::Conflict(reply.reservation_state()?),
            "not_found" => CheckedOut::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
