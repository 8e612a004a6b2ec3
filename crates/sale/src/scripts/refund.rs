use super::{Engine, EngineError, ORDERS, OrderView, Script, script};
use crate::ids::{OrderId, PaymentId};
use crate::keys::LaneKeys;
use crate::order::OrderState;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("refund", 5, ORDERS);

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refunded {
    /// The money went back, now or before.
    Done(OrderView),
    Conflict(OrderState),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Notes that the operator sent the money of a `refund_due` order back.
    pub async fn refund(&self, id: &OrderId) -> Result<Refunded, EngineError> {
        self.note_refund(id, 0).await
    }

    /// Notes that the operator sent the money of one payment back: that of a `refund_due` order, or of a payment that
    /// succeeded beside the one that counts.
    pub async fn refund_payment(&self, id: &PaymentId) -> Result<Refunded, EngineError> {
        self.note_refund(&id.order, id.attempt).await
    }

    async fn note_refund(&self, id: &OrderId, attempt: u32) -> Result<Refunded, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.orders(), &keys.outbox(), &keys.deadlines(), &keys.alarm()],
                &[id.tail.as_str(), &attempt.to_string()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "refunded" => Refunded::Done(answer.order(id)?),
            "conflict" => Refunded::Conflict(answer.order_state()?),
            "not_found" => Refunded::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
