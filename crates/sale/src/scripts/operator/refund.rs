use crate::ids::{OrderId, PaymentId};
use crate::keys::LaneKeys;
use crate::order::OrderState;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("refund", 5, ORDERS);

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refunded {
    /// The money went back, now or before.
    Done(OrderView),
    Conflict(OrderState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Records that the operator sent the money of a `refund_due` order back.
    pub async fn refund(&self, id: &OrderId) -> Result<Refunded, EngineError> {
        self.note_refund(id, 0).await
    }

    /// Records that the operator sent the money of one payment back: that of a `refund_due` order, or a surplus payment.
    pub async fn refund_payment(&self, id: &PaymentId) -> Result<Refunded, EngineError> {
        self.note_refund(&id.order, id.attempt).await
    }

    async fn note_refund(&self, id: &OrderId, attempt: u32) -> Result<Refunded, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.orders(), &keys.outbox(), &keys.deadlines(), &keys.alarm()],
                &[id.tail.as_str(), &attempt.to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "refunded" => Refunded::Done(reply.order(id)?),
            "conflict" => Refunded::Conflict(reply.order_state()?),
            "not_found" => Refunded::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
