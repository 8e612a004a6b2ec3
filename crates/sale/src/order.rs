//! The states of an order and the only moves between them. A test compares SQL's table of moves with this one.

use serde::{Deserialize, Serialize};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Made at checkout. Its units wait for the money.
    Unpaid,
    /// Paid in time. Final.
    Paid,
    /// Cancelled by the shopper; its units are back in stock.
    Cancelled,
    /// Not paid in time; its units are back in stock.
    TimedOut,
    /// Money came for an order that had ended. The refund is due.
    RefundDue,
    /// The money went back. Final.
    Refunded,
}

/// What can happen to an order after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderEvent {
    Paid,
    Cancelled,
    TimedOut,
    /// A payment that succeeded after the order had ended.
    PaidLate,
    Refunded,
}

impl OrderState {
    pub const ALL: [OrderState; 6] = [
        OrderState::Unpaid,
        OrderState::Paid,
        OrderState::Cancelled,
        OrderState::TimedOut,
        OrderState::RefundDue,
        OrderState::Refunded,
    ];

    /// The state after `event`, or nothing where the move is illegal. The table of all legal moves.
    pub fn after(self, event: OrderEvent) -> Option<OrderState> {
        use OrderEvent as E;
        use OrderState as S;
        match (self, event) {
            (S::Unpaid, E::Paid) => Some(S::Paid),
            (S::Unpaid, E::Cancelled) => Some(S::Cancelled),
            (S::Unpaid, E::TimedOut) => Some(S::TimedOut),
            (S::Cancelled | S::TimedOut, E::PaidLate) => Some(S::RefundDue),
            (S::RefundDue, E::Refunded) => Some(S::Refunded),
            _ => None,
        }
    }

    /// The word for it, in scripts, responses and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderState::Unpaid => "unpaid",
            OrderState::Paid => "paid",
            OrderState::Cancelled => "cancelled",
            OrderState::TimedOut => "timed_out",
            OrderState::RefundDue => "refund_due",
            OrderState::Refunded => "refunded",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl OrderEvent {
    pub const ALL: [OrderEvent; 5] = [
        OrderEvent::Paid,
        OrderEvent::Cancelled,
        OrderEvent::TimedOut,
        OrderEvent::PaidLate,
        OrderEvent::Refunded,
    ];

    /// The type of its outbox event.
    pub fn event_type(self) -> &'static str {
        match self {
            OrderEvent::Paid => "order.paid",
            OrderEvent::Cancelled => "order.cancelled",
            OrderEvent::TimedOut => "order.timed_out",
            OrderEvent::PaidLate => "order.refund_due",
            OrderEvent::Refunded => "order.refunded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_move_exists() {
        let legal: Vec<_> = OrderState::ALL
            .into_iter()
            .flat_map(|from| {
                OrderEvent::ALL.into_iter().filter_map(move |event| Some((from, from.after(event)?)))
            })
            .map(|(from, to)| format!("{} {}", from.as_str(), to.as_str()))
            .collect();
        assert_eq!(
            legal,
            [
                "unpaid paid",
                "unpaid cancelled",
                "unpaid timed_out",
                "cancelled refund_due",
                "timed_out refund_due",
                "refund_due refunded"
            ]
        );
    }
}
