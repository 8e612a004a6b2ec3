use crate::ids::{OrderId, PaymentId, UserId};
use crate::keys::LaneKeys;
use crate::money::{Currency, Money};
use crate::order::OrderState;
use crate::script;
use crate::scripts::{Engine, EngineError, ReplyReader, Script};
use crate::store::Redis;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) static SCRIPT: Script = script!("view_order", 2, ORDERS);

/// An order as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    pub id: OrderId,
    pub state: OrderState,
    pub user: UserId,
    pub quantity: u32,
    pub unit_price: Money,
    pub created_at: Timestamp,
    pub pay_by: Timestamp,
    pub paid_at: Option<Timestamp>,
    /// The payment that counts: the latest, until one succeeds.
    pub payment: Option<(PaymentId, PaymentState)>,
    /// Surplus payments.
    pub surplus: Vec<Surplus>,
}

/// The state of an attempt to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Pending,
    Succeeded,
    Failed,
}

/// A payment that succeeded beside the one that counts. Its money goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    pub payment: PaymentId,
    /// Whether the money went back.
    pub refunded: bool,
}

/// Contact and address of an order. Personal: never log it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Contact {
    pub contact: String,
    pub address: String,
    pub note: String,
}

impl Contact {
    /// The form in which a lane keeps it.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Reads that form. Where it is erased there is only an empty text.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_slice(json.as_bytes()).ok()
    }
}

impl OrderView {
    pub fn total(&self) -> Money {
        self.unit_price.times(self.quantity)
    }
}

impl ReplyReader {
    pub(crate) fn order(&mut self, id: &OrderId) -> Result<OrderView, EngineError> {
        let state = self.order_state()?;
        let user = self.parsed()?;
        let quantity = self.quantity()?;
        let amount = self.int()?;
        let currency = Currency::parse(&self.text()?).map_err(|_| self.unexpected())?;
        let created_at = self.moment()?;
        let pay_by = self.moment()?;
        let paid_at = self.moment_if_any()?;
        let attempt = self.quantity()?;
        let payment = match self.text()?.as_str() {
            "" => None,
            "pending" => Some(PaymentState::Pending),
            "succeeded" => Some(PaymentState::Succeeded),
            "failed" => Some(PaymentState::Failed),
            _ => return Err(self.unexpected()),
        };
        let payment = payment.map(|state| (PaymentId { order: id.clone(), attempt }, state));
        let surplus = self.text()?;
        let surplus = surplus
            .split(',')
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                let (attempt, state) = entry.split_once(':')?;
                let payment = PaymentId { order: id.clone(), attempt: attempt.parse().ok()? };
                match state {
                    "due" => Some(Surplus { payment, refunded: false }),
                    "refunded" => Some(Surplus { payment, refunded: true }),
                    _ => None,
                }
            })
            .collect::<Option<_>>()
            .ok_or_else(|| self.unexpected())?;
        let unit_price = Money::new(amount, currency);
        Ok(OrderView {
            id: id.clone(),
            state,
            user,
            quantity,
            unit_price,
            created_at,
            pay_by,
            paid_at,
            payment,
            surplus,
        })
    }
}

impl<R: Redis> Engine<R> {
    /// Shows an order, and its contact unless that is erased. With `user`, only if it is theirs.
    pub async fn order(
        &self,
        id: &OrderId,
        user: Option<&UserId>,
    ) -> Result<Option<(OrderView, Option<Contact>)>, EngineError> {
        let keys = LaneKeys::of(&id.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &id.lane,
                &[&keys.orders(), &keys.details()],
                &[id.tail.as_str(), user.map_or("", UserId::as_str)],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "found" => {
                let order = reply.order(id)?;
                Some((order, Contact::from_json(&reply.text()?)))
            }
            "not_found" => None,
            _ => return Err(reply.unexpected()),
        })
    }
}
