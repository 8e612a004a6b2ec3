use crate::ids::{OrderId, UserId};
use crate::keys::LaneKeys;
use crate::order::OrderState;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("pay", 5, ORDERS);

/// What became of opening a payment. The order names the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentOpened {
    /// A new attempt.
    New(OrderView),
    /// The attempt that is still pending.
    Pending(OrderView),
    Conflict(OrderState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Opens an attempt to pay an unpaid order of `user`.
    pub async fn pay(&self, id: &OrderId, user: &UserId) -> Result<PaymentOpened, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.orders(), &keys.outbox(), &keys.deadlines(), &keys.alarm()],
                &[user.as_str(), id.tail.as_str()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "opened" => PaymentOpened::New(reply.order(id)?),
            "pending" => PaymentOpened::Pending(reply.order(id)?),
            "conflict" => PaymentOpened::Conflict(reply.order_state()?),
            "not_found" => PaymentOpened::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
