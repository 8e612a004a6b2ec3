//! What a step answers, in words: the model and the engine's typed outcomes are compared as such, and a story shows them.

use crate::model::{BEGIN, Moment, Order, Payment, Tail};
use crate::provider;
use sale::order::OrderState;
use sale::reservation::ReservationState;
use std::fmt::Write;

/// A moment of the day, as a story shows it: `10:00:00.000`, with days after the first counted.
pub fn clock(at: Moment) -> String {
    let from_midnight = at - (BEGIN - 36_000_000);
    let (days, ms) = (from_midnight.div_euclid(86_400_000), from_midnight.rem_euclid(86_400_000));
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000);
    if days == 0 { time } else { format!("{time} on day {}", days + 1) }
}

pub fn reservation(tail: Tail) -> String {
    format!("#{tail}")
}

pub fn pace(position: i64, waiting: i64, [each_second, own]: [u32; 2], hold_ms: i64) -> String {
    format!(
        "place {position} of {waiting}, {each_second} polls/s, {own} polls of one shopper, {hold_ms} ms hold"
    )
}

pub fn existing(
    tail: Tail,
    state: ReservationState,
    quantity: u32,
    until: Option<Moment>,
    pace: &str,
) -> String {
    let until = until.map(|at| format!(" until {}", clock(at))).unwrap_or_default();
    format!("has {} already: {} {quantity}{until}, {pace}", reservation(tail), state.as_str())
}

pub fn polled(
    state: ReservationState,
    quantity: u32,
    until: Option<Moment>,
    queue_overdue: bool,
    deadlines_overdue: bool,
    pace: &str,
) -> String {
    let mut text = format!("{} {quantity}", state.as_str());
    if let Some(at) = until {
        let _ = write!(text, " until {}", clock(at));
    }
    let _ = write!(text, ", {pace}");
    if queue_overdue {
        text.push_str(", the queue is overdue");
    }
    if deadlines_overdue {
        text.push_str(", a deadline is overdue");
    }
    text
}

pub fn drained(held: u64, sold_out: u64, rejected: u64, waiting: u64) -> String {
    format!("{held} held, {sold_out} sold out, {rejected} rejected, {waiting} wait")
}

pub fn lapsed(holds: u64, orders: u64, overdue: u64, waiting: u64, purge_due: bool) -> String {
    let purge = if purge_due { ", the purge is due" } else { "" };
    format!("{holds} holds and {orders} orders lapsed, {overdue} overdue, {waiting} wait{purge}")
}

pub fn copied(applied: usize, repeated: usize, waiting: usize, contradicts: bool, left: usize) -> String {
    let contradicts = if contradicts { ", contradicted" } else { "" };
    format!("{applied} written, {repeated} known, {waiting} wait{contradicts}, {left} left")
}

pub fn order(order: &Order) -> String {
    let payment = order.payment.map(|payment| (order.attempt, payment));
    let surplus: Vec<_> = order.surplus.iter().map(|(attempt, returned)| (*attempt, *returned)).collect();
    shown_order(
        order.state,
        order.quantity,
        order.unit_price,
        [order.created, order.pay_by],
        order.paid_at,
        payment,
        &surplus,
    )
}

pub fn shown_order(
    state: OrderState,
    quantity: u32,
    unit_price: i64,
    [created, pay_by]: [Moment; 2],
    paid_at: Option<Moment>,
    payment: Option<(u32, Payment)>,
    surplus: &[(u32, bool)],
) -> String {
    let mut text = format!(
        "{} {quantity} at {unit_price}, made {}, pay by {}",
        state.as_str(),
        clock(created),
        clock(pay_by)
    );
    if let Some(at) = paid_at {
        let _ = write!(text, ", paid {}", clock(at));
    }
    if let Some((attempt, payment)) = payment {
        let _ = write!(text, ", payment {attempt} {}", payment_word(payment));
    }
    for (attempt, returned) in surplus {
        let _ = write!(text, ", payment {attempt} {}", if *returned { "refunded" } else { "to be refunded" });
    }
    text
}

pub fn payment_word(payment: Payment) -> &'static str {
    match payment {
        Payment::Pending => "pending",
        Payment::Failed => "failed",
        Payment::Succeeded => "succeeded",
    }
}

pub fn provider_payment(payment: &provider::Payment) -> String {
    let choice = payment.choice.map_or("nothing".to_owned(), |choice| format!("{choice:?}"));
    format!(
        "{}, {choice} chosen, pay by {}, {} tries",
        payment.standing,
        clock(payment.pay_by),
        payment.tries
    )
}
