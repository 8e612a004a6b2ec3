//! What more than one function shows: an item, and a reservation and an order as their own shopper sees them.

use sale::ids::{ItemId, OrderId, PaymentId, ReservationId, SaleId};
use sale::item::{ItemState, Mode};
use sale::money::Money;
use sale::order::OrderState;
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{OrderView, PaymentState};
use sale::time::Timestamp;
use serde::Serialize;

/// An item, as the catalogue shows it and as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    pub id: ItemId,
    pub sale_id: SaleId,
    pub title: String,
    pub subtitle: String,
    pub description: String,
    pub image: String,
    pub list_price: Money,
    pub sale_price: Money,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub state: ItemState,
    pub stock: Stock,
    pub per_user_limit: u32,
    pub mode: Mode,
    pub version: u64,
}

/// The units of an item: all of them, and those that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stock {
    pub total: i64,
    pub available: i64,
}

impl Item {
    /// `item` as its operator wrote it, with the state and the stock that it has now.
    pub fn new(item: &sale::catalogue::Item, state: ItemState, stock: Stock) -> Self {
        let item = item.clone();
        Item {
            id: item.id,
            sale_id: item.sale_id,
            title: item.title,
            subtitle: item.subtitle,
            description: item.description,
            image: item.image,
            list_price: item.list_price,
            sale_price: item.sale_price,
            starts_at: item.starts_at,
            ends_at: item.ends_at,
            state,
            stock,
            per_user_limit: item.per_user_limit,
            mode: item.mode,
            version: item.version,
        }
    }
}

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
