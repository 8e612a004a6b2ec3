use super::{Engine, EngineError, ORDERS, OrderView, Script, script};
use crate::ids::PaymentId;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("settle", 8, ORDERS);

/// How a payment went, in the provider's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    Succeeded,
    Failed,
}

/// What the provider's message changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The order moved: to paid or refund_due, or its attempt failed.
    Moved(OrderView),
    /// Known already; nothing changed.
    Repeated(OrderView),
    /// The amount is not the order's, which is `due`.
    WrongAmount {
        due: i64,
    },
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Takes the provider's word on a payment of `amount` minor units.
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
        let mut answer = self
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
        Ok(match answer.text()?.as_str() {
            "settled" => Settled::Moved(answer.order(&id.order)?),
            "repeated" => Settled::Repeated(answer.order(&id.order)?),
            "wrong_amount" => Settled::WrongAmount { due: answer.int()? },
            "not_found" => Settled::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
