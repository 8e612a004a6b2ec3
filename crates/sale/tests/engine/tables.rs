//! Every state and every event, legal and not: the scripts move only as the domain's tables say.

use crate::shop::{HOLD_MS, PAY_MS, PRICE, Shop, contact, user};
use provider_simulation::Standing;
use sale::ids::{PaymentId, ReservationId};
use sale::item::Switch;
use sale::order::{OrderEvent, OrderState};
use sale::payment::{PaymentEvent, PaymentState};
use sale::reservation::{ReservationEvent, ReservationState};
use sale::scripts::{Cancelled, CheckedOut, PaymentOutcome, Refunded, Released, Settled, StockChange};

/// A lane with one reservation of `ann` in `state`, one unit in stock besides.
async fn reservation_in(state: ReservationState) -> (Shop, ReservationId) {
    let shop = Shop::open(1).await;
    let id = shop.queued("ann").await;
    match state {
        ReservationState::Queued => {}
        ReservationState::Held => {
            shop.grant().await;
        }
        ReservationState::SoldOut => {
            shop.stock(StockChange::Total(0)).await;
            shop.grant().await;
        }
        ReservationState::Rejected => {
            // Written into the record, since nothing moves in a closed item.
            shop.stock(StockChange::Total(0)).await;
            shop.grant().await;
            let key = shop.keys.reservations();
            shop.redis.command("HSET", &[&key, id.tail.as_str(), "rejected|ann|1"]).await;
        }
        ReservationState::Released => {
            shop.engine().release(&id, &user("ann")).await.unwrap();
        }
        ReservationState::Ordered => {
            shop.grant().await;
            shop.checked_out(&id, "ann").await;
        }
        ReservationState::Expired => {
            shop.grant().await;
            shop.advance(HOLD_MS);
            shop.engine().lapse(&shop.lane, 10).await.unwrap();
        }
    }
    shop.stock(StockChange::Add(1)).await;
    assert_eq!(shop.state(&id, "ann").await, state);
    (shop, id)
}

#[tokio::test]
async fn reservations_move_as_the_table_says() {
    for from in ReservationState::ALL {
        for event in ReservationEvent::ALL {
            let (shop, id) = reservation_in(from).await;
            let legal = from.after(event);
            let refused = match event {
                ReservationEvent::Granted => {
                    shop.grant().await;
                    None
                }
                ReservationEvent::FoundNoStock => {
                    let available = shop.view().await.available;
                    shop.stock(StockChange::Add(-available)).await;
                    shop.grant().await;
                    None
                }
                ReservationEvent::Refused => {
                    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
                    shop.grant().await;
                    None
                }
                ReservationEvent::GivenBack => {
                    Some(match shop.engine().release(&id, &user("ann")).await.unwrap() {
                        Released::Done => from == ReservationState::Released,
                        Released::Conflict(state) => state == from,
                        Released::NotFound => false,
                    })
                }
                ReservationEvent::CheckedOut => {
                    Some(match shop.engine().checkout(&id, &user("ann"), &contact()).await.unwrap() {
                        CheckedOut::Made(_) | CheckedOut::NotFound => false,
                        CheckedOut::Existing(_) => from == ReservationState::Ordered,
                        CheckedOut::HoldExpired => from == ReservationState::Expired,
                        CheckedOut::Conflict(state) => state == from,
                    })
                }
                ReservationEvent::Lapsed => {
                    // A reservation that ended is forgotten after ten minutes.
                    shop.advance(if from == ReservationState::Ordered { PAY_MS } else { HOLD_MS });
                    shop.engine().lapse(&shop.lane, 10).await.unwrap();
                    None
                }
            };
            let to = shop.state(&id, "ann").await;
            assert_eq!(to, legal.unwrap_or(from), "{from:?}, {event:?}");
            if legal.is_none() {
                assert_ne!(refused, Some(false), "{from:?}, {event:?}: an illegal move is a typed refusal");
            }
            shop.assert_sound().await;
        }
    }
}

/// A lane with one order of `ann` in `state`, with an open payment.
async fn order_in(state: OrderState) -> (Shop, PaymentId) {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    let cancel = async || shop.engine().cancel(&payment.order, &user("ann")).await.unwrap();
    match state {
        OrderState::Unpaid => {}
        OrderState::Paid => {
            shop.settled(&payment, PaymentOutcome::Succeeded).await;
        }
        OrderState::Cancelled => {
            cancel().await;
        }
        OrderState::TimedOut => {
            shop.advance(PAY_MS);
            shop.engine().lapse(&shop.lane, 10).await.unwrap();
        }
        OrderState::RefundDue | OrderState::Refunded => {
            cancel().await;
            shop.settled(&payment, PaymentOutcome::Succeeded).await;
            if state == OrderState::Refunded {
                shop.engine().refund(&payment.order).await.unwrap();
            }
        }
    }
    assert_eq!(order_state(&shop, &payment).await, state);
    (shop, payment)
}

async fn order_state(shop: &Shop, payment: &PaymentId) -> OrderState {
    shop.engine().order(&payment.order, None).await.unwrap().unwrap().0.state
}

/// What happens outside, and the events that it may be for an order.
#[derive(Debug, Clone, Copy)]
enum Cause {
    MoneyInTime,
    MoneyAfterTheDeadline,
    Cancellation,
    Deadline,
    Refund,
}

impl Cause {
    const ALL: [Cause; 5] = [
        Cause::MoneyInTime,
        Cause::MoneyAfterTheDeadline,
        Cause::Cancellation,
        Cause::Deadline,
        Cause::Refund,
    ];

    /// The events in their order; each happens where it is legal.
    fn events(self) -> &'static [OrderEvent] {
        match self {
            // Which of the two it is, the order's state tells: no state allows both.
            Cause::MoneyInTime => &[OrderEvent::PaidLate, OrderEvent::Paid],
            Cause::MoneyAfterTheDeadline => &[OrderEvent::TimedOut, OrderEvent::PaidLate],
            Cause::Cancellation => &[OrderEvent::Cancelled],
            Cause::Deadline => &[OrderEvent::TimedOut],
            Cause::Refund => &[OrderEvent::Refunded],
        }
    }
}

#[tokio::test]
async fn orders_move_as_the_table_says_and_every_move_is_told_once() {
    let mut seen = Vec::new();
    for from in OrderState::ALL {
        assert!(from.after(OrderEvent::Paid).is_none() || from.after(OrderEvent::PaidLate).is_none());
        for cause in Cause::ALL {
            let (shop, payment) = order_in(from).await;
            let before = shop.engine().read_outbox(&shop.lane, 100).await.unwrap().len();
            let mut expected = from;
            let mut told = Vec::new();
            for event in cause.events() {
                if let Some(to) = expected.after(*event) {
                    expected = to;
                    told.push(event.event_type());
                    seen.push((from, *event));
                }
            }
            let typed = match cause {
                Cause::MoneyInTime | Cause::MoneyAfterTheDeadline => {
                    if matches!(cause, Cause::MoneyAfterTheDeadline) {
                        shop.advance(PAY_MS);
                    }
                    match shop.engine().settle(&payment, PaymentOutcome::Succeeded, PRICE).await.unwrap() {
                        Settled::Moved(order) => !told.is_empty() && order.state == expected,
                        Settled::Repeated(order) => told.is_empty() && order.state == from,
                        Settled::WrongAmount { .. } | Settled::NotFound => false,
                    }
                }
                Cause::Cancellation => {
                    match shop.engine().cancel(&payment.order, &user("ann")).await.unwrap() {
                        Cancelled::Done(order) => {
                            order.state == OrderState::Cancelled && expected == order.state
                        }
                        Cancelled::Conflict(state) => told.is_empty() && state == from,
                        Cancelled::NotFound => false,
                    }
                }
                Cause::Deadline => {
                    shop.advance(PAY_MS);
                    let lapsed = shop.engine().lapse(&shop.lane, 10).await.unwrap().unwrap();
                    lapsed.orders == told.len() as u64
                }
                Cause::Refund => match shop.engine().refund(&payment.order).await.unwrap() {
                    Refunded::Done(order) => order.state == OrderState::Refunded && expected == order.state,
                    Refunded::Conflict(state) => told.is_empty() && state == from,
                    Refunded::NotFound => false,
                },
            };
            assert!(typed, "{from:?}, {cause:?}: the answer tells what happened");
            assert_eq!(order_state(&shop, &payment).await, expected, "{from:?}, {cause:?}");
            let events = shop.engine().read_outbox(&shop.lane, 100).await.unwrap();
            let kinds: Vec<String> = events[before..]
                .iter()
                .map(|entry| serde_json::from_str::<serde_json::Value>(&entry.event).unwrap()["type"].clone())
                .map(|kind| kind.as_str().unwrap().to_owned())
                .collect();
            assert_eq!(kinds, told, "{from:?}, {cause:?}");
            shop.assert_sound().await;
        }
    }
    // Every legal move of the table was made by some cause, as a first step or a second one.
    for from in OrderState::ALL {
        for event in OrderEvent::ALL {
            let made = seen.contains(&(from, event));
            assert!(from.after(event).is_none() || made, "{from:?}, {event:?}");
        }
    }
}

/// Why a payment brings money, or brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    /// The order waits for it.
    Unpaid,
    /// The order was cancelled.
    Ended,
    /// It paid for the order.
    Counts,
    /// Another one paid for the order.
    Beside,
}

/// A lane with one payment of `ann` in `state`, where that comes about.
async fn payment_in(state: PaymentState, around: Around) -> Option<(Shop, PaymentId)> {
    let shop = Shop::open(1).await;
    let first = shop.paying("ann").await;
    let fail = async || shop.settled(&first, PaymentOutcome::Failed).await;
    let mut payment = first.clone();
    match (around, state) {
        (Around::Unpaid, PaymentState::Pending) => {}
        (Around::Unpaid, PaymentState::Failed) => drop(fail().await),
        (Around::Counts, PaymentState::Succeeded) => {
            shop.settled(&first, PaymentOutcome::Succeeded).await;
        }
        (Around::Ended, PaymentState::RefundDue) | (Around::Unpaid | Around::Counts, _) => return None,
        (Around::Ended, _) => {
            if state == PaymentState::Failed {
                fail().await;
            }
            shop.engine().cancel(&first.order, &user("ann")).await.unwrap();
            if matches!(state, PaymentState::Succeeded | PaymentState::Refunded) {
                shop.settled(&first, PaymentOutcome::Succeeded).await;
            }
            if state == PaymentState::Refunded {
                shop.engine().refund(&first.order).await.unwrap();
            }
        }
        (Around::Beside, PaymentState::Succeeded) => return None,
        (Around::Beside, PaymentState::Pending) => {
            fail().await;
            payment = shop.payment(&first.order, "ann").await;
            shop.settled(&first, PaymentOutcome::Succeeded).await;
        }
        (Around::Beside, _) => {
            fail().await;
            let second = shop.payment(&first.order, "ann").await;
            shop.settled(&second, PaymentOutcome::Succeeded).await;
            if state != PaymentState::Failed {
                shop.settled(&payment, PaymentOutcome::Succeeded).await;
            }
            if state == PaymentState::Refunded {
                shop.engine().refund_payment(&payment).await.unwrap();
            }
        }
    }
    Some((shop, payment))
}

#[tokio::test]
async fn payments_move_as_the_table_says_and_every_move_is_told_once() {
    let mut seen = Vec::new();
    for from in PaymentState::ALL {
        for around in [Around::Unpaid, Around::Ended, Around::Counts, Around::Beside] {
            for event in PaymentEvent::ALL {
                let happens = match event {
                    PaymentEvent::Failed => true,
                    PaymentEvent::PaidInTime => around == Around::Unpaid,
                    PaymentEvent::PaidLate => around == Around::Ended,
                    PaymentEvent::PaidTwice => matches!(around, Around::Beside | Around::Counts),
                    PaymentEvent::OrderRefunded => around != Around::Beside,
                    PaymentEvent::SurplusRefunded => around == Around::Beside,
                };
                let Some((shop, payment)) = (if happens { payment_in(from, around).await } else { None })
                else {
                    continue;
                };
                let before = shop.engine().read_outbox(&shop.lane, 100).await.unwrap().len();
                // The money that paid for an order stays; and of an attempt that does not count any more, no failure is told.
                let legal = from.after(event).filter(|_| {
                    !matches!(
                        (around, event),
                        (Around::Counts, PaymentEvent::OrderRefunded)
                            | (Around::Beside, PaymentEvent::Failed)
                    )
                });
                let case = format!("{from:?}, {around:?}, {event:?}");
                let refunded = from == PaymentState::Refunded;
                let typed = match event {
                    PaymentEvent::OrderRefunded | PaymentEvent::SurplusRefunded => {
                        match shop.engine().refund_payment(&payment).await.unwrap() {
                            Refunded::Done(_) => legal.is_some() || refunded,
                            Refunded::Conflict(_) => legal.is_none() && !refunded,
                            Refunded::NotFound => false,
                        }
                    }
                    _ => {
                        let failed = event == PaymentEvent::Failed;
                        let outcome = if failed { PaymentOutcome::Failed } else { PaymentOutcome::Succeeded };
                        match shop.engine().settle(&payment, outcome, PRICE).await.unwrap() {
                            Settled::Moved(_) => legal.is_some(),
                            Settled::Repeated(_) => legal.is_none(),
                            Settled::WrongAmount { .. } | Settled::NotFound => false,
                        }
                    }
                };
                assert!(typed, "{case}: the answer tells what happened");
                let events = shop.engine().read_outbox(&shop.lane, 100).await.unwrap();
                let told: Vec<serde_json::Value> = events[before..]
                    .iter()
                    .map(|entry| serde_json::from_str(&entry.event).unwrap())
                    .collect();
                let kinds: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
                let expected: Vec<&str> = legal.iter().map(|_| event.event_type()).collect();
                assert_eq!(kinds, expected, "{case}");
                assert!(told.iter().all(|event| event["payment_id"] == payment.to_string()), "{case}");
                if legal.is_some() {
                    seen.push((from, event));
                }
                shop.assert_sound().await;
            }
        }
    }
    for from in PaymentState::ALL {
        for event in PaymentEvent::ALL {
            assert_eq!(from.after(event).is_some(), seen.contains(&(from, event)), "{from:?}, {event:?}");
        }
    }
}

/// Words for states in the scripts are words of the domain.
#[test]
fn scripts_speak_of_no_other_state() {
    for script in sale::scripts::ALL {
        let source = script.source();
        for before in ["state = '", "state == '", "state ~= '", "outcome = '", "reservation_record('"] {
            for (at, _) in source.match_indices(before) {
                let word = source[at + before.len()..].split('\'').next().unwrap();
                let known = ReservationState::parse(word).is_some() || OrderState::parse(word).is_some();
                assert!(known, "{}: {before}{word}'", script.name);
            }
        }
    }
}

/// So are words for how a payment stands with the simulated provider.
#[test]
fn the_simulated_provider_speaks_of_no_other_standing() {
    let mut spoken = 0;
    for script in provider_simulation::ALL {
        let source = script.source();
        for before in ["standing == '", "record = '", "MOST_TRIES and '", "'due' or '"] {
            for (at, _) in source.match_indices(before) {
                let word = source[at + before.len()..].split(['\'', '|']).next().unwrap();
                assert!(Standing::parse(word).is_some(), "{}: {before}{word}'", script.name);
                spoken += 1;
            }
        }
    }
    assert_eq!(spoken, 5, "words that were found");
}
