use crate::support::{Client, Outbox, Told, World, lane, on_both};
use order_ledger::refunds::{self, Reason, Refund, RefundKind, Unmatched};
use order_ledger::{Sql, SqlError, apply, read};
use sale::money::Currency;
use sale::time::Timestamp;

on_both![
    money_to_give_back_is_listed_with_its_kind_and_reason,
    money_that_matches_nothing_is_recorded_once_whatever_it_says,
    of_two_operators_who_claim_at_once_one_holds_the_refund,
    an_unmatched_payment_goes_back_once,
    records_of_money_never_change,
];

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn told(payment_id: &str) -> Unmatched<'_> {
    Unmatched {
        payment_id,
        order_id: "o-x",
        event_id: "evt-1",
        amount: 39_900,
        currency: None,
        order_currency: None,
        reason: Reason::UnknownPayment,
        came_at: at(5),
    }
}

async fn due(sql: &Client) -> Vec<Refund> {
    let page = refunds::due(sql, 100, 0).await.unwrap();
    assert_eq!(page.total, page.rows.len() as u64);
    page.rows
}

async fn money_to_give_back_is_listed_with_its_kind_and_reason(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let [mut paid, mut late] = [1, 2].map(Told::new);
    let mut entries = vec![outbox.created(&mut paid), outbox.payment_created(&mut paid)];
    let first = paid.attempt;
    entries.push(outbox.payment_created(&mut paid));
    entries.push(outbox.moved(&mut paid, "order.paid", "paid"));
    paid.attempt = first;
    entries.push(outbox.event("payment.refund_due", &paid, ""));
    entries.push(outbox.created(&mut late));
    entries.push(outbox.moved(&mut late, "order.timed_out", "timed_out"));
    entries.push(outbox.moved(&mut late, "order.refund_due", "refund_due"));
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 8);
    assert!(refunds::record_unmatched(&sql, &told("p-x")).await.unwrap());

    let rows = due(&sql).await;
    let shown: Vec<_> =
        rows.iter().map(|row| (row.kind, row.reason.as_str(), row.payment_id.as_str())).collect();
    // What has waited longest comes first.
    assert_eq!(
        shown,
        [
            (RefundKind::Unmatched, "unknown_payment", "p-x"),
            (RefundKind::Surplus, "paid_twice", "p-iabcdefghij-0-000000000001-1"),
            (RefundKind::Order, "order_ended", "p-iabcdefghij-0-000000000002-1"),
        ]
    );
    assert_eq!(rows[1].order_state.map(|state| state.as_str()), Some("paid"));
    assert_eq!((rows[1].amount, rows[0].currency), (2 * 9_900, None));
    assert_eq!(rows[1].id, rows[1].payment_id);
    assert_eq!(refunds::due(&sql, 1, 1).await.unwrap().rows, [rows[1].clone()]);
    for row in &rows {
        assert_eq!(refunds::find(&sql, &row.id).await.unwrap().as_ref(), Some(row));
    }
    // The payment that counts is no refund, and neither is an unknown one.
    for id in ["p-iabcdefghij-0-000000000001-2", "p-x", "u-0", "", "\0"] {
        assert_eq!(refunds::find(&sql, id).await.unwrap(), None, "{id}");
    }
    let payment = read::payment(&sql, &rows[1].id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((payment.state, payment.amount.amount), (read::PaymentState::RefundDue, 2 * 9_900));

    // Given back, they leave the list and can still be found.
    entries = vec![
        outbox.event("payment.refunded", &paid, ""),
        outbox.moved(&mut late, "order.refunded", "refunded"),
    ];
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 2);
    assert_eq!(due(&sql).await.len(), 1);
    for row in &rows[1..] {
        let found = refunds::find(&sql, &row.id).await.unwrap().unwrap();
        assert!(found.kind == row.kind && found.refunded_at.is_some(), "{found:?}");
    }
}

async fn money_that_matches_nothing_is_recorded_once_whatever_it_says(world: &World) {
    let sql = world.ledger().await;
    let long = "x".repeat(10_000);
    let longer = format!("{long}y");
    let hostile = ["p-1", "", "'; DROP TABLE orders; --", "\0\r\n", "支付", &long, &longer];
    for (number, text) in (1..).zip(hostile) {
        let told = Unmatched { order_id: text, event_id: text, ..told(text) };
        for new in [true, false, false] {
            assert_eq!(refunds::record_unmatched(&sql, &told).await.unwrap(), new, "{number}");
        }
        assert_eq!(due(&sql).await.len(), number);
    }
    // Another amount or currency is other money. Another event about the same money is not.
    let (cny, usd) = (Currency::parse("CNY").unwrap(), Currency::parse("USD").unwrap());
    for (told, new) in [
        (Unmatched { amount: 1, ..told("p-1") }, true),
        (Unmatched { amount: i64::MAX, ..told("p-1") }, true),
        (Unmatched { currency: Some(usd), ..told("p-1") }, true),
        (Unmatched { event_id: "evt-2", came_at: at(6), ..told("p-1") }, false),
        (Unmatched { order_currency: Some(cny), reason: Reason::SaleOver, ..told("p-1") }, false),
        (Unmatched { order_currency: Some(cny), ..told("p-2") }, true),
    ] {
        assert_eq!(refunds::record_unmatched(&sql, &told).await.unwrap(), new, "{told:?}");
    }
    let rows = due(&sql).await;
    assert!(rows.iter().all(|row| row.payment_id.chars().count() <= 255));
    assert_eq!(rows.iter().find(|row| row.payment_id == "p-2").unwrap().currency, Some(cny));
    for reason in Reason::ALL {
        let id = format!("p-{}", reason.as_str());
        let recorded = refunds::record_unmatched(&sql, &Unmatched { reason, ..told(&id) }).await.unwrap();
        assert!(recorded, "{reason:?}");
    }
    // No money came: the caller must not record it.
    for amount in [0, -1] {
        let refused = refunds::record_unmatched(&sql, &Unmatched { amount, ..told("p-1") }).await;
        assert!(matches!(refused, Err(SqlError::Refused(_))), "{refused:?}");
    }
}

async fn of_two_operators_who_claim_at_once_one_holds_the_refund(world: &World) {
    let [first, second] = [world.ledger().await, world.connect().await];
    for round in 0..20 {
        let id = format!("u-{round}");
        let (ann, bob) = tokio::join!(
            refunds::claim(&first, &id, "ann", at(1)),
            refunds::claim(&second, &id, "bob", at(2)),
        );
        let (ann, bob) = (ann.unwrap(), bob.unwrap());
        assert_eq!(ann, bob, "both are told of one holder");
        let holder = if ann.by == "ann" { 1 } else { 2 };
        assert_eq!(ann.at, at(holder));
        // A repeat changes nothing, not even the moment.
        assert_eq!(refunds::claim(&first, &id, &ann.by, at(9)).await.unwrap(), ann);
        assert_eq!(refunds::claim(&second, &id, "carl", at(9)).await.unwrap(), ann);
    }
}

async fn an_unmatched_payment_goes_back_once(world: &World) {
    let sql = world.ledger().await;
    let payment = told("p-1");
    refunds::record_unmatched(&sql, &payment).await.unwrap();
    let claim = refunds::claim(&sql, &payment.id(), "ann", at(7)).await.unwrap();
    assert_eq!(due(&sql).await[0].claim, Some(claim.clone()));
    assert!(refunds::settle_unmatched(&sql, &payment.id(), at(8)).await.unwrap());
    assert!(!refunds::settle_unmatched(&sql, &payment.id(), at(9)).await.unwrap());
    assert!(!refunds::settle_unmatched(&sql, "u-0", at(9)).await.unwrap());
    assert!(due(&sql).await.is_empty());
    let settled = refunds::find(&sql, &payment.id()).await.unwrap().unwrap();
    assert_eq!((settled.refunded_at, settled.claim), (Some(at(8)), Some(claim)));
    // The provider repeats the success. It stays given back.
    assert!(!refunds::record_unmatched(&sql, &payment).await.unwrap());
    assert!(due(&sql).await.is_empty());
}

async fn records_of_money_never_change(world: &World) {
    let sql = world.ledger().await;
    let payment = told("p-1");
    refunds::record_unmatched(&sql, &payment).await.unwrap();
    refunds::claim(&sql, &payment.id(), "ann", at(7)).await.unwrap();
    for statement in [
        "UPDATE unmatched_payments SET amount = 1",
        "UPDATE unmatched_payments SET amount = 1, settled_at = 1",
        "UPDATE unmatched_payments SET reason = 'sale_over', settled_at = 1",
        "DELETE FROM unmatched_payments",
        "UPDATE refund_claims SET claimed_by = 'bob'",
        "DELETE FROM refund_claims",
    ] {
        let refused = sql.execute(statement, &[]).await;
        assert!(matches!(refused, Err(SqlError::Refused(_))), "{statement}: {refused:?}");
    }
    assert!(refunds::settle_unmatched(&sql, &payment.id(), at(8)).await.unwrap());
    let again = sql.execute("UPDATE unmatched_payments SET settled_at = 9", &[]).await;
    assert!(matches!(again, Err(SqlError::Refused(_))), "{again:?}");
}
