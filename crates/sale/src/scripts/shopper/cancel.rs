use crate::allowance;
use crate::ids::{OrderId, UserId};
use crate::keys::LaneKeys;
use crate::order::OrderState;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("cancel", 10, ORDERS, CALLERS, STOCK, RETURNS);

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The order is cancelled, now or before.
    Done(OrderView),
    Conflict(OrderState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Cancels an unpaid order of `user`; its units return to stock.
    pub async fn cancel(&self, id: &OrderId, user: &UserId) -> Result<Cancelled, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let [even, odd] = keys.callers();
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[
                    &keys.lane(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.orders(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.alarm(),
                    &keys.series(),
                    &even,
                    &odd,
                ],
                &[user.as_str(), id.tail.as_str(), &allowance::shopper(user)],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "cancelled" => Cancelled::Done(reply.order(id)?),
            "conflict" => Cancelled::Conflict(reply.order_state()?),
            "not_found" => Cancelled::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
