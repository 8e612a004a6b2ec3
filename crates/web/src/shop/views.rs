//! Answers that more than one function gives: a reservation and an order, as their own shopper sees them.

use sale::ids::{OrderId, PaymentId, ReservationId};
use sale::money::Money;
use sale::order::OrderState;
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{OrderView, PaymentState};
use sale::time::Timestamp;
use serde::Serialize;

/// A reservation; members that do not apply to its state are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reservation {
    pub id: ReservationId,
    pub item_id: String,
    pub state: ReservationState,
    pub quantity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
}

impl Reservation {
    /// `pace` counts while it is queued, `deadline` while it is held.
    pub fn new(
        id: &ReservationId,
        state: ReservationState,
        quantity: u32,
        deadline: Option<Timestamp>,
        pace: Pace,
    ) -> Self {
        let queued = state == ReservationState::Queued;
        Reservation {
            id: id.clone(),
            item_id: id.lane.item.to_string(),
            state,
            quantity,
            position: queued.then_some(pace.position),
            poll_after_ms: queued.then(|| pace.poll_after_ms()),
            hold_expires_at: deadline.filter(|_| state == ReservationState::Held),
            order_id: (state == ReservationState::Ordered).then(|| id.order()),
        }
    }
}

/// An order; members that do not apply to its state are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    pub id: String,
    pub reservation_id: String,
    pub item_id: String,
    pub quantity: u32,
    pub unit_price: Money,
    pub total: Money,
    pub state: OrderState,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Attempt>,
}

/// The attempt to pay that counts: the latest, until one succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    pub id: PaymentId,
    pub state: PaymentState,
}

impl From<&OrderView> for Order {
    fn from(order: &OrderView) -> Self {
        Order {
            id: order.id.to_string(),
            reservation_id: order.id.reservation().to_string(),
            item_id: order.id.lane.item.to_string(),
            quantity: order.quantity,
            unit_price: order.unit_price.clone(),
            total: order.total(),
            state: order.state,
            created_at: order.created_at,
            pay_by: (order.state == OrderState::Unpaid).then_some(order.pay_by),
            paid_at: order.paid_at,
            payment: order.payment.clone().map(|(id, state)| Attempt { id, state }),
        }
    }
}
