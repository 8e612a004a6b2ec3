use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Contact, Engine, EngineError, OrderView, PaymentState, Rebuilding, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("orders", 7, ORDERS, HOLDERS);

/// An order as the order database has it, for a lane that is being rebuilt.
#[derive(Clone, PartialEq, Eq)]
pub struct Restored {
    pub order: OrderView,
    /// How many payments were opened.
    pub attempts: u32,
    /// None if it is erased.
    pub contact: Option<Contact>,
    /// Whether to keep the engine's own record, if it has one. It is newer if an event of the order is set aside.
    pub keep: bool,
}

impl<R: Redis> Engine<R> {
    /// Puts `orders` (at most 100) back. `cursor` is where the previous call ended, and `last` says that there are no more. A
    /// repeated call changes nothing.
    pub async fn rebuild_orders(
        &self,
        lane: &Lane,
        cursor: &str,
        orders: &[Restored],
        last: bool,
    ) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let next = orders.last().map_or(cursor, |restored| restored.order.id.tail.as_str());
        let mut arguments =
            vec![cursor.to_owned(), next.to_owned(), if last { "decisions" } else { "" }.to_owned()];
        for Restored { order, attempts, contact, keep } in orders {
            let (attempt, payment) = match &order.payment {
                Some((id, state)) => (id.attempt, *state),
                None => (0, PaymentState::Pending),
            };
            let payment = match payment {
                _ if attempt == 0 => "",
                PaymentState::Pending => "pending",
                PaymentState::Succeeded => "succeeded",
                PaymentState::Failed => "failed",
            };
            let surplus: Vec<String> = order
                .surplus
                .iter()
                .map(|surplus| {
                    let state = if surplus.refunded { "refunded" } else { "due" };
                    format!("{}:{state}", surplus.payment.attempt)
                })
                .collect();
            arguments.extend([
                order.id.tail.as_str().to_owned(),
                if *keep { "1" } else { "0" }.to_owned(),
                order.state.as_str().to_owned(),
                order.user.to_string(),
                order.quantity.to_string(),
                order.unit_price.amount.to_string(),
                order.unit_price.currency.as_str().to_owned(),
                order.created_at.millis().to_string(),
                order.pay_by.millis().to_string(),
                order.paid_at.map_or(0, |at| at.millis()).to_string(),
                attempt.to_string(),
                payment.to_owned(),
                attempts.to_string(),
                surplus.join(","),
                contact.as_ref().map(Contact::to_json).unwrap_or_default(),
            ]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.rebuilding(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.orders(),
                    &keys.details(),
                    &keys.deadlines(),
                    &keys.holders(),
                ],
                &arguments,
            )
            .await?;
        reply.rebuilding()
    }
}
