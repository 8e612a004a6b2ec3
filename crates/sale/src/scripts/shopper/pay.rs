use crate::ids::{OrderId, PaymentId, UserId};
use crate::keys::LaneKeys;
use crate::order::OrderState;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("pay", 5, ORDERS);

/// Payments that one order may open. A provider's failures and a shopper's second thoughts need a few; each is kept in the
/// order's record and in the order database.
pub const MOST_PAYMENTS: u32 = 20;

/// What became of opening a payment. The order names the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentOpened {
    /// A new attempt.
    New(OrderView),
    /// The attempt that is still pending.
    Pending(OrderView),
    Conflict(OrderState),
    /// The order has opened as many payments as it may: [`MOST_PAYMENTS`].
    TooMany,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Opens an attempt to pay an unpaid order of `user`, or shows the one that is pending.
    pub async fn pay(&self, id: &OrderId, user: &UserId) -> Result<PaymentOpened, EngineError> {
        self.open_payment(id, user, false, MOST_PAYMENTS).await
    }

    /// Opens another attempt even if one is pending, which the shopper has abandoned. The former may still succeed.
    pub async fn replace_payment(&self, id: &OrderId, user: &UserId) -> Result<PaymentOpened, EngineError> {
        self.open_payment(id, user, true, MOST_PAYMENTS).await
    }

    /// Opens attempt number `attempt`, if the order has opened the ones before it. A repeat changes nothing.
    ///
    /// For a rebuild, which repeats what the order's events tell.
    pub async fn repeat_payment(
        &self,
        payment: &PaymentId,
        user: &UserId,
    ) -> Result<PaymentOpened, EngineError> {
        self.open_payment(&payment.order, user, true, payment.attempt.min(MOST_PAYMENTS)).await
    }

    async fn open_payment(
        &self,
        id: &OrderId,
        user: &UserId,
        replace: bool,
        most: u32,
    ) -> Result<PaymentOpened, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.lane(), &keys.orders(), &keys.outbox(), &keys.deadlines(), &keys.alarm()],
                &[user.as_str(), id.tail.as_str(), if replace { "1" } else { "0" }, &most.to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "opened" => PaymentOpened::New(reply.order(id)?),
            "pending" => PaymentOpened::Pending(reply.order(id)?),
            "conflict" => PaymentOpened::Conflict(reply.order_state()?),
            "too_many" => PaymentOpened::TooMany,
            "not_found" => PaymentOpened::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
