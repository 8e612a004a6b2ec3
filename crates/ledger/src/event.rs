//! Events as the outbox has them, with the checks that need no database.

use sale::catalogue::Documents;
use sale::ids::{Lane, OrderId, PaymentId, ReservationId, UserId};
use sale::item::Offer;
use sale::money::Currency;
use sale::order::OrderState;
use serde::Deserialize;

/// An event that has the right form and belongs to its lane. The database checks whether it may happen.
#[derive(Debug)]
pub struct Event<'a> {
    pub seq: i64,
    /// The order that the event is about. None for an event about the lane.
    pub order_id: Option<String>,
    /// The event's text, unchanged.
    pub payload: &'a str,
}

/// Why a text is no event of its lane, with the parts that could be read.
#[derive(Debug)]
pub struct Unreadable {
    pub seq: Option<i64>,
    pub order_id: Option<String>,
    pub error: String,
}

/// The members of every event.
#[derive(Deserialize)]
struct Head {
    seq: i64,
    r#type: String,
    at: i64,
    item_id: String,
    lane: u16,
}

/// The members of an event about an order. Other members are ignored. Names with `_` are checked for their type only.
#[derive(Deserialize)]
struct Body {
    order_id: OrderId,
    reservation_id: ReservationId,
    #[serde(rename = "user_id")]
    _user_id: UserId,
    #[serde(rename = "quantity")]
    _quantity: u32,
    #[serde(rename = "unit_price")]
    _unit_price: i64,
    #[serde(rename = "currency")]
    _currency: Currency,
    #[serde(rename = "state")]
    _state: OrderState,
    #[serde(rename = "pay_by")]
    _pay_by: i64,
    payment_id: Option<PaymentId>,
    #[serde(rename = "amount")]
    _amount: Option<i64>,
    #[serde(rename = "paid_at")]
    _paid_at: Option<i64>,
}

/// The member of a `lane.described` event: what the operator wrote of the sale and the item.
#[derive(Deserialize)]
pub(crate) struct Described {
    pub documents: Documents,
}

/// Parses a text as a `T`.
fn read<T: for<'de> Deserialize<'de>>(payload: &str) -> Result<T, Unreadable> {
    serde_json::from_slice(payload.as_bytes()).map_err(|error| unreadable(payload, error.to_string()))
}

impl<'a> Event<'a> {
    /// Parses the text of an event of `lane`.
    pub fn parse(lane: &Lane, payload: &'a str) -> Result<Self, Unreadable> {
        let head: Head = read(payload)?;
        let wrong = if head.seq < 1 {
            "seq is below 1"
        } else if head.at < 0 {
            "at is before 1970"
        } else if head.item_id != lane.item.as_str() || head.lane != lane.number {
            "it belongs to another lane"
        } else {
            match head.r#type.as_str() {
                "lane.changed" => read::<Offer>(payload).map(|_| ())?,
                "lane.described" => read::<Described>(payload).map(|_| ())?,
                _ => return Event::of_order(lane, head, payload),
            }
            return Ok(Event { seq: head.seq, order_id: None, payload });
        };
        Err(unreadable(payload, wrong.to_owned()))
    }

    fn of_order(lane: &Lane, head: Head, payload: &'a str) -> Result<Self, Unreadable> {
        let body: Body = read(payload)?;
        let wrong = if body.order_id.lane != *lane {
            "it belongs to another lane"
        } else if body.order_id.reservation() != body.reservation_id {
            "order and reservation don't belong together"
        } else if body.payment_id.as_ref().is_some_and(|payment| payment.order != body.order_id) {
            "the payment belongs to another order"
        } else if head.r#type.starts_with("payment.") && body.payment_id.is_none() {
            "payment_id is missing"
        } else {
            return Ok(Event { seq: head.seq, order_id: Some(body.order_id.to_string()), payload });
        };
        Err(unreadable(payload, wrong.to_owned()))
    }
}

/// Reads at least the number and the order, so that later events of the order can be set aside too.
fn unreadable(payload: &str, error: String) -> Unreadable {
    #[derive(Deserialize)]
    struct Number {
        seq: i64,
    }
    #[derive(Deserialize)]
    struct Order {
        order_id: String,
    }
    Unreadable {
        seq: serde_json::from_slice(payload.as_bytes())
            .ok()
            .map(|Number { seq }| seq)
            .filter(|seq| *seq >= 1),
        order_id: serde_json::from_slice(payload.as_bytes()).ok().map(|Order { order_id }| order_id),
        // serde's message may quote the text, so it is kept short.
        error: error.chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = r#"{"seq":12,"type":"order.created","at":1795255200000,"item_id":"iabcdefghij","lane":0,
        "order_id":"o-iabcdefghij-0-abcdefghijkl","reservation_id":"r-iabcdefghij-0-abcdefghijkl","user_id":"u-1",
        "quantity":1,"unit_price":9900,"currency":"CNY","state":"unpaid","pay_by":1795256100000}"#;

    #[test]
    fn an_event_is_read_with_its_number() {
        let lane: Lane = "iabcdefghij:0".parse().unwrap();
        let event = Event::parse(&lane, CREATED).unwrap();
        assert_eq!((event.seq, event.order_id.as_deref()), (12, Some("o-iabcdefghij-0-abcdefghijkl")));
        let other = Event::parse(&"iabcdefghij:1".parse().unwrap(), CREATED).unwrap_err();
        assert_eq!((other.seq, other.error.as_str()), (Some(12), "it belongs to another lane"));
    }

    #[test]
    fn the_number_of_an_unreadable_event_is_read_if_it_can_be() {
        let lane: Lane = "iabcdefghij:0".parse().unwrap();
        for (from, to, seq) in [
            ("\"seq\":12", "\"seq\":0", None),
            ("\"seq\":12", "\"seq\":\"12\"", None),
            ("\"quantity\":1", "\"quantity\":\"1\"", Some(12)),
            ("\"quantity\":1", "\"quantity\":1.5", Some(12)),
            ("\"state\":\"unpaid\"", "\"state\":\"unheard_of\"", Some(12)),
            ("\"currency\":\"CNY\",", "", Some(12)),
            (
                "\"reservation_id\":\"r-iabcdefghij-0-abcdefghijkl\"",
                "\"reservation_id\":\"r-iabcdefghij-0-abcdefghijkm\"",
                Some(12),
            ),
            ("\"pay_by\"", "\"payment_id\":\"p-iabcdefghij-0-abcdefghijkm-1\",\"pay_by\"", Some(12)),
            ("order.created", "payment.created", Some(12)),
            ("}", "", None),
        ] {
            let error = Event::parse(&lane, &CREATED.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.seq, seq, "{from} → {to}: {error:?}");
        }
    }
}
