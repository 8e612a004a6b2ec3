use crate::ids::PaymentId;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("settle", 8, STOCK, ORDERS);

/// The outcome of a payment, as the provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    Succeeded,
    Failed,
}

/// What the provider's message changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The order moved to paid or refund_due, or its attempt failed.
    Moved(OrderView),
    /// Recorded before: nothing changed.
    Repeated(OrderView),
    /// The order's amount is another: `due`.
    WrongAmount {
        due: i64,
    },
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Records the provider's outcome of a payment of `amount` minor units.
    pub async fn settle(
        &self,
        id: &PaymentId,
        outcome: PaymentOutcome,
        amount: i64,
    ) -> Result<Settled, EngineError> {
        let lane = &id.order.lane;
        let keys = LaneKeys::of(lane);
        let word = match outcome {
            PaymentOutcome::Succeeded => "succeeded",
            PaymentOutcome::Failed => "failed",
        };
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.orders(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.alarm(),
                    &keys.series(),
                ],
                &[id.order.tail.as_str(), &id.attempt.to_string(), word, &amount.to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "settled" => Settled::Moved(reply.order(&id.order)?),
            "repeated" => Settled::Repeated(reply.order(&id.order)?),
            "wrong_amount" => Settled::WrongAmount { due: reply.int()? },
            "not_found" => Settled::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
