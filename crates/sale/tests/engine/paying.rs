//! Every reply of `pay`, `settle` and `refund`.

use crate::shop::{PAY_MS, PRICE, Shop, user};
use PaymentOutcome::{Failed, Succeeded};
use sale::ids::{OrderId, PaymentId};
use sale::order::OrderState;
use sale::scripts::{
    Cancelled, PaymentOpened, PaymentOutcome, PaymentState, Purged, Refunded, Reserved, Settled, Surplus,
};

impl Shop {
    async fn settle(&self, id: &PaymentId, outcome: PaymentOutcome) -> Settled {
        self.engine().settle(id, outcome, PRICE).await.unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        let entries = self.engine().read_outbox(&self.lane, 100).await.unwrap();
        let kind = |event: &str| serde_json::from_str::<serde_json::Value>(event).unwrap()["type"].clone();
        entries.iter().map(|entry| kind(&entry.event).as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn money_in_time_makes_an_order_paid_once() {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    assert_eq!(payment.attempt, 1);
    shop.advance(1_000);
    let paid = shop.settled(&payment, Succeeded).await;
    assert_eq!((paid.state, paid.paid_at), (OrderState::Paid, Some(shop.now())));
    assert_eq!(paid.payment, Some((payment.clone(), PaymentState::Succeeded)));
    assert_eq!(shop.counters().await, [0, 0, 0, 1]);
    shop.advance(PAY_MS);
    // The same message, doubled and late, or a contradiction: nothing moves.
    for outcome in [Succeeded, Failed, Succeeded] {
        assert_eq!(shop.settle(&payment, outcome).await, Settled::Repeated(paid.clone()));
    }
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.counters().await, [0, 0, 0, 1]);
    assert_eq!(shop.kinds().await, ["order.created", "payment.created", "order.paid"]);
    assert!(matches!(shop.reserve("ann", 1).await, Reserved::PurchaseLimit { taken: 1, .. }));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_payment_is_opened_once_until_it_fails() {
    let shop = Shop::open(1).await;
    let order = shop.ordered("ann").await;
    let first = shop.payment(&order.id, "ann").await;
    let PaymentOpened::Pending(view) = shop.engine().pay(&order.id, &user("ann")).await.unwrap() else {
        panic!()
    };
    assert_eq!(view.payment, Some((first.clone(), PaymentState::Pending)));
    let failed = shop.settled(&first, Failed).await;
    assert_eq!(
        (failed.state, failed.payment),
        (OrderState::Unpaid, Some((first.clone(), PaymentState::Failed)))
    );
    assert!(matches!(shop.settle(&first, Failed).await, Settled::Repeated(_)));
    let second = shop.payment(&order.id, "ann").await;
    assert_eq!(second.attempt, 2);
    assert!(matches!(shop.settle(&first, Failed).await, Settled::Repeated(_)), "the first is not the second");
    assert_eq!(shop.settled(&second, Succeeded).await.state, OrderState::Paid);
    assert_eq!(
        shop.kinds().await,
        ["order.created", "payment.created", "payment.failed", "payment.created", "order.paid"]
    );
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_earlier_attempt_that_succeeds_after_all_is_the_one_that_counts_and_later_ones_stay_known() {
    let shop = Shop::open(1).await;
    let first = shop.paying("ann").await;
    shop.settled(&first, Failed).await;
    let second = shop.payment(&first.order, "ann").await;
    let paid = shop.settled(&first, Succeeded).await;
    assert_eq!(paid.payment, Some((first, PaymentState::Succeeded)));
    assert_eq!(shop.settle(&second, Failed).await, Settled::Repeated(paid));
    assert_eq!(shop.counters().await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn money_beside_the_payment_that_counts_sells_nothing_is_told_once_and_goes_back_once() {
    let shop = Shop::open(1).await;
    let mut payments = vec![shop.paying("ann").await];
    for _ in 0..11 {
        shop.settled(payments.last().unwrap(), Failed).await;
        payments.push(shop.payment(&payments[0].order, "ann").await);
    }
    let order = &payments[0].order;
    let paid = shop.settled(&payments[0], Succeeded).await;
    let told = shop.kinds().await.len();
    // The second and the twelfth payment succeed too, later, and each message comes twice.
    for number in [1, 11] {
        let answer = shop.settled(&payments[number], Succeeded).await;
        assert_eq!((answer.state, &answer.payment), (OrderState::Paid, &paid.payment));
        let Settled::Repeated(again) = shop.settle(&payments[number], Succeeded).await else { panic!() };
        assert_eq!(again, answer);
        assert!(matches!(shop.settle(&payments[number], Failed).await, Settled::Repeated(_)));
    }
    assert_eq!(shop.counters().await, [0, 0, 0, 1], "one unit is sold");
    assert_eq!(shop.kinds().await[told..], ["payment.refund_due", "payment.refund_due"]);

    // The payment that counts is not refunded, nor is a payment that never succeeded.
    assert_eq!(shop.engine().refund(order).await.unwrap(), Refunded::Conflict(OrderState::Paid));
    for number in [0, 2] {
        let answer = shop.engine().refund_payment(&payments[number]).await.unwrap();
        assert_eq!(answer, Refunded::Conflict(OrderState::Paid), "{number}");
    }
    let unknown = PaymentId { order: order.clone(), attempt: 13 };
    assert_eq!(shop.engine().refund_payment(&unknown).await.unwrap(), Refunded::NotFound);
    let surplus = |refunded: [bool; 2]| {
        let of = |number: usize, refunded| Surplus { payment: payments[number].clone(), refunded };
        vec![of(1, refunded[0]), of(11, refunded[1])]
    };
    // The lane stays until all money went back.
    shop.set_now(crate::shop::ENDS + crate::shop::RETENTION_MS);
    let entries = shop.engine().read_outbox(&shop.lane, 1_000).await.unwrap();
    let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    shop.engine().acknowledge(&shop.lane, &ids).await.unwrap();
    for (number, expected) in [(1, [true, false]), (1, [true, false]), (11, [true, true])] {
        assert_eq!(shop.engine().purge(&shop.lane).await.unwrap(), Purged::Unsettled);
        let Refunded::Done(view) = shop.engine().refund_payment(&payments[number]).await.unwrap() else {
            panic!()
        };
        assert_eq!((view.state, view.surplus), (OrderState::Paid, surplus(expected)));
    }
    assert_eq!(shop.kinds().await, ["payment.refunded", "payment.refunded"]);
    shop.assert_sound().await;
    let entries = shop.engine().read_outbox(&shop.lane, 10).await.unwrap();
    let event = serde_json::from_str::<serde_json::Value>(&entries[1].event).unwrap();
    assert_eq!(
        (event["payment_id"].clone(), event["state"].clone()),
        (payments[11].to_string().into(), "paid".into())
    );
}

#[tokio::test]
async fn a_second_payment_of_an_order_that_ended_goes_back_beside_the_first() {
    let shop = Shop::open(1).await;
    let first = shop.paying("ann").await;
    shop.settled(&first, Failed).await;
    let second = shop.payment(&first.order, "ann").await;
    shop.engine().cancel(&first.order, &user("ann")).await.unwrap();
    assert_eq!(shop.settled(&second, Succeeded).await.state, OrderState::RefundDue);
    assert_eq!(shop.settled(&first, Succeeded).await.surplus.len(), 1);
    // In either order.
    assert!(matches!(shop.engine().refund_payment(&first).await.unwrap(), Refunded::Done(_)));
    let Refunded::Done(view) = shop.engine().refund_payment(&second).await.unwrap() else { panic!() };
    assert_eq!(view.state, OrderState::Refunded);
    assert_eq!(
        shop.kinds().await[4..],
        ["order.cancelled", "order.refund_due", "payment.refund_due", "payment.refunded", "order.refunded"]
    );
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn opening_a_payment_is_for_the_shopper_of_an_unpaid_order() {
    let shop = Shop::open(3).await;
    let order = shop.ordered("ann").await;
    assert_eq!(shop.engine().pay(&order.id, &user("bob")).await.unwrap(), PaymentOpened::NotFound);
    let unknown = OrderId::new(shop.lane.clone(), shop.tail());
    assert_eq!(shop.engine().pay(&unknown, &user("ann")).await.unwrap(), PaymentOpened::NotFound);
    shop.advance(PAY_MS - 1);
    let payment = shop.payment(&order.id, "ann").await;
    shop.settled(&payment, Failed).await;
    shop.advance(1);
    // Too late, before and after it is returned to stock.
    let late = PaymentOpened::Conflict(OrderState::TimedOut);
    assert_eq!(shop.engine().pay(&order.id, &user("ann")).await.unwrap(), late);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(shop.engine().pay(&order.id, &user("ann")).await.unwrap(), late);
    let cancelled = shop.ordered("bob").await;
    shop.engine().cancel(&cancelled.id, &user("bob")).await.unwrap();
    let answer = shop.engine().pay(&cancelled.id, &user("bob")).await.unwrap();
    assert_eq!(answer, PaymentOpened::Conflict(OrderState::Cancelled));
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_wrong_amount_or_an_unknown_payment_changes_nothing() {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    for amount in [0, -PRICE, PRICE - 1, PRICE + 1, i64::MAX, i64::MIN] {
        let answer = shop.engine().settle(&payment, Succeeded, amount).await.unwrap();
        assert_eq!(answer, Settled::WrongAmount { due: PRICE }, "{amount}");
    }
    for attempt in [2, 3, u32::MAX] {
        let unknown = PaymentId { order: payment.order.clone(), attempt };
        assert_eq!(shop.settle(&unknown, Succeeded).await, Settled::NotFound);
    }
    let unknown = PaymentId { order: OrderId::new(shop.lane.clone(), shop.tail()), attempt: 1 };
    assert_eq!(shop.settle(&unknown, Succeeded).await, Settled::NotFound);
    assert_eq!(shop.counters().await, [0, 0, 1, 0]);
    assert_eq!(shop.kinds().await, ["order.created", "payment.created"]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn money_too_late_never_sells_a_unit_that_went_back() {
    // The alarm was first, or the money was.
    for alarm_first in [true, false] {
        let shop = Shop::open(1).await;
        let payment = shop.paying("ann").await;
        shop.advance(PAY_MS);
        if alarm_first {
            shop.engine().lapse(&shop.lane, 10).await.unwrap();
        }
        let due = shop.settled(&payment, Succeeded).await;
        assert_eq!((due.state, due.paid_at), (OrderState::RefundDue, Some(shop.now())));
        assert_eq!(shop.counters().await, [1, 0, 0, 0]);
        assert!(matches!(shop.settle(&payment, Succeeded).await, Settled::Repeated(_)));
        assert!(matches!(shop.settle(&payment, Failed).await, Settled::Repeated(_)));
        assert_eq!(
            shop.kinds().await,
            ["order.created", "payment.created", "order.timed_out", "order.refund_due"]
        );
        // The shopper may buy again, and the unit is in stock.
        shop.held("ann").await;
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn money_for_a_cancelled_order_goes_back_once() {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    let Cancelled::Done(_) = shop.engine().cancel(&payment.order, &user("ann")).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        shop.engine().refund(&payment.order).await.unwrap(),
        Refunded::Conflict(OrderState::Cancelled)
    );
    assert_eq!(shop.settled(&payment, Succeeded).await.state, OrderState::RefundDue);
    let answer = shop.engine().cancel(&payment.order, &user("ann")).await.unwrap();
    assert_eq!(answer, Cancelled::Conflict(OrderState::RefundDue));
    for _ in 0..2 {
        let Refunded::Done(view) = shop.engine().refund(&payment.order).await.unwrap() else { panic!() };
        assert_eq!(view.state, OrderState::Refunded);
    }
    assert!(matches!(shop.settle(&payment, Succeeded).await, Settled::Repeated(_)));
    let unknown = OrderId::new(shop.lane.clone(), shop.tail());
    assert_eq!(shop.engine().refund(&unknown).await.unwrap(), Refunded::NotFound);
    assert_eq!(
        shop.kinds().await,
        ["order.created", "payment.created", "order.cancelled", "order.refund_due", "order.refunded"]
    );
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_payment_that_fails_after_the_order_ended_is_noted() {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    shop.engine().cancel(&payment.order, &user("ann")).await.unwrap();
    let view = shop.settled(&payment, Failed).await;
    assert_eq!((view.state, view.payment.unwrap().1), (OrderState::Cancelled, PaymentState::Failed));
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);
}
