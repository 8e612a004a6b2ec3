//! Events as the outbox has them, checked as far as they can be without the database.

use sale::catalogue::Documents;
use sale::ids::{Lane, OrderId, PaymentId, ReservationId, UserId};
use sale::item::Offer;
use sale::money::Currency;
use sale::order::OrderState;
use serde::Deserialize;

/// An event that has the right form and belongs to its lane. What it says is for the database to judge.
#[derive(Debug)]
pub struct Event<'a> {
    pub seq: i64,
    /// The order it tells of, unless it tells of the lane.
    pub order_id: Option<String>,
    /// Its own text.
    pub payload: &'a str,
}

/// Why a text is no event of its lane, and what of it could be read.
#[derive(Debug)]
pub struct Unreadable {
    pub seq: Option<i64>,
    pub order_id: Option<String>,
    pub error: String,
}

/// What every event says.
#[derive(Deserialize)]
struct Head {
    seq: i64,
    r#type: String,
    at: i64,
    item_id: String,
    lane: u16,
}

/// What an event of an order says. Members that it may have besides are not looked at.
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
    #[serde(rename = "details")]
    _details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(rename = "contact")]
    _contact: Option<String>,
    #[serde(rename = "address")]
    _address: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// What an event says that tells of what the operator wrote.
#[derive(Deserialize)]
pub(crate) struct Described {
    pub documents: Documents,
}

/// Reads a text as a `T`, or says why it is none.
fn read<T: for<'de> Deserialize<'de>>(payload: &str) -> Result<T, Unreadable> {
    serde_json::from_slice(payload.as_bytes()).map_err(|error| unreadable(payload, error.to_string()))
}

impl<'a> Event<'a> {
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

/// Reads the place in the lane and the order at least, so that both are known to be in doubt.
fn unreadable(payload: &str, error: String) -> Unreadable {
    #[derive(Deserialize)]
    struct Place {
        seq: i64,
    }
    #[derive(Deserialize)]
    struct Order {
        order_id: String,
    }
    Unreadable {
        seq: serde_json::from_slice(payload.as_bytes()).ok().map(|Place { seq }| seq).filter(|seq| *seq >= 1),
        order_id: serde_json::from_slice(payload.as_bytes()).ok().map(|Order { order_id }| order_id),
        // serde's words may quote the text, which may be personal.
        error: error.chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = r#"{"seq":12,"type":"order.created","at":1795255200000,"item_id":"iabcdefghij","lane":0,
        "order_id":"o-iabcdefghij-0-abcdefghijkl","reservation_id":"r-iabcdefghij-0-abcdefghijkl","user_id":"u-1",
        "quantity":1,"unit_price":9900,"currency":"CNY","state":"unpaid","pay_by":1795256100000,
        "details":{"contact":"c","address":"a","note":"n"}}"#;

    #[test]
    fn an_event_is_read_with_its_place() {
        let lane: Lane = "iabcdefghij:0".parse().unwrap();
        let event = Event::parse(&lane, CREATED).unwrap();
        assert_eq!((event.seq, event.order_id.as_deref()), (12, Some("o-iabcdefghij-0-abcdefghijkl")));
        let other = Event::parse(&"iabcdefghij:1".parse().unwrap(), CREATED).unwrap_err();
        assert_eq!((other.seq, other.error.as_str()), (Some(12), "it belongs to another lane"));
    }

    #[test]
    fn what_is_no_event_still_tells_its_place_where_it_can() {
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
            ("}}", "}", None),
        ] {
            let error = Event::parse(&lane, &CREATED.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.seq, seq, "{from} → {to}: {error:?}");
        }
    }
}
