use super::{Contact, Engine, EngineError, ORDERS, OrderView, Script, script};
use crate::ids::{ReservationId, UserId};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("checkout", 8, ORDERS);

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
        let details = serde_json::to_string(contact).unwrap_or_else(|_| "{}".to_owned());
        let mut answer = self
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
                &[user.as_str(), id.tail.as_str(), &details],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "made" => CheckedOut::Made(answer.order(&id.order())?),
            "existing" => CheckedOut::Existing(answer.order(&id.order())?),
            "hold_expired" => CheckedOut::HoldExpired,
            "conflict" => CheckedOut::Conflict(answer.reservation_state()?),
            "not_found" => CheckedOut::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
