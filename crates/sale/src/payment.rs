//! The states of a payment and the only moves between them. A test compares SQL's table of moves with this one.

use serde::{Deserialize, Serialize};

/// Where an attempt to pay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Opened. The provider has not said how it went.
    Pending,
    /// It failed, by the provider's last message.
    Failed,
    /// Its money is the order's.
    Succeeded,
    /// A surplus payment: the refund is due.
    RefundDue,
    /// The money went back. Final.
    Refunded,
}

/// What can happen to a payment after it was opened. The order's state decides which of three events money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentEvent {
    Failed,
    /// Money for an unpaid order, in time.
    PaidInTime,
    /// Money for an order that had ended.
    PaidLate,
    /// Surplus: money for an order that another payment paid for, or whose refund is due.
    PaidTwice,
    /// The money of an order that had ended went back.
    OrderRefunded,
    /// The money of a surplus payment went back.
    SurplusRefunded,
}

impl PaymentState {
    pub const ALL: [PaymentState; 5] = [
        PaymentState::Pending,
        PaymentState::Failed,
        PaymentState::Succeeded,
        PaymentState::RefundDue,
        PaymentState::Refunded,
    ];

    /// The state after `event`, or nothing where the move is illegal. The table of all legal moves.
    ///
    /// Providers deliver out of order: a success may follow the failure of the same payment.
    pub fn after(self, event: PaymentEvent) -> Option<PaymentState> {
        use PaymentEvent as E;
        use PaymentState as S;
        match (self, event) {
            (S::Pending, E::Failed) => Some(S::Failed),
            (S::Pending | S::Failed, E::PaidInTime | E::PaidLate) => Some(S::Succeeded),
            (S::Pending | S::Failed, E::PaidTwice) => Some(S::RefundDue),
            (S::Succeeded, E::OrderRefunded) => Some(S::Refunded),
            (S::RefundDue, E::SurplusRefunded) => Some(S::Refunded),
            _ => None,
        }
    }

    /// The word for it, in responses and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentState::Pending => "pending",
            PaymentState::Failed => "failed",
            PaymentState::Succeeded => "succeeded",
            PaymentState::RefundDue => "refund_due",
            PaymentState::Refunded => "refunded",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl PaymentEvent {
    pub const ALL: [PaymentEvent; 6] = [
        PaymentEvent::Failed,
        PaymentEvent::PaidInTime,
        PaymentEvent::PaidLate,
        PaymentEvent::PaidTwice,
        PaymentEvent::OrderRefunded,
        PaymentEvent::SurplusRefunded,
    ];

    /// The type of its outbox event.
    pub fn event_type(self) -> &'static str {
        match self {
            PaymentEvent::Failed => "payment.failed",
            PaymentEvent::PaidInTime => "order.paid",
            PaymentEvent::PaidLate => "order.refund_due",
            PaymentEvent::PaidTwice => "payment.refund_due",
            PaymentEvent::OrderRefunded => "order.refunded",
            PaymentEvent::SurplusRefunded => "payment.refunded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_move_exists() {
        let legal: Vec<_> = PaymentState::ALL
            .into_iter()
            .flat_map(|from| {
                PaymentEvent::ALL.into_iter().filter_map(move |event| Some((from, event, from.after(event)?)))
            })
            .map(|(from, event, to)| format!("{} {} {}", from.as_str(), event.event_type(), to.as_str()))
            .collect();
        assert_eq!(
            legal,
            [
                "pending payment.failed failed",
                "pending order.paid succeeded",
                "pending order.refund_due succeeded",
                "pending payment.refund_due refund_due",
                "failed order.paid succeeded",
                "failed order.refund_due succeeded",
                "failed payment.refund_due refund_due",
                "succeeded order.refunded refunded",
                "refund_due payment.refunded refunded",
            ]
        );
    }
}
