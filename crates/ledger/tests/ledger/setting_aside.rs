use crate::support::{Outbox, Told, World, lane, on_both};
use order_ledger::{Entry, apply, read, set_aside};
use sale::order::OrderState;

on_both![
    one_bad_event_among_many_stops_none_of_the_others,
    an_entry_that_is_no_event_keeps_its_place,
    nothing_that_is_wrong_about_an_event_is_recorded,
    later_events_of_the_order_are_set_aside_too,
    an_event_is_set_aside_once,
    a_number_used_twice_loses_neither_event,
    what_never_came_is_passed_over_and_applied_if_it_comes_after_all,
    a_dismissed_event_stands_in_no_way,
    text_that_a_database_cannot_store_is_no_reason_to_lose_anything,
];

async fn one_bad_event_among_many_stops_none_of_the_others(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut entries: Vec<Entry> = (0..300).map(|number| outbox.created(&mut Told::new(number))).collect();
    // The database refuses the second order of one reservation, and an order of nothing.
    entries[100].event = entries[100].event.replace("\"quantity\":2", "\"quantity\":0");
    entries[200].event = entries[200].event.replace("000000000200", "000000000007");
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside, outcome.waiting), (298, 2, 0));
    assert_eq!(outcome.done.len(), 300);
    assert_eq!(read::written(&sql, &lane()).await.unwrap(), 300);
    assert_eq!(sql.number("SELECT count(*) FROM orders").await, 298);
    let aside = set_aside::list(&sql, 10, 0).await.unwrap();
    assert_eq!(aside.iter().map(|event| event.seq).collect::<Vec<_>>(), [101, 201]);
    assert!(aside[0].error.contains("quantity"), "{}", aside[0].error);
    assert_eq!(aside[0].event, entries[100].event);
    assert_eq!(aside[1].order_id.as_deref(), Some("o-iabcdefghij-0-000000000007"));
    assert_eq!(set_aside::count(&sql).await.unwrap(), 2);
}

async fn an_entry_that_is_no_event_keeps_its_place(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let entries = [
        outbox.rubbish("{\"seq\":"),
        outbox.created(&mut Told::new(1)),
        outbox.rubbish(""),
        outbox.rubbish("[1,2]"),
        outbox.created(&mut Told::new(2)),
        outbox.rubbish("null"),
    ];
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside, outcome.waiting), (2, 4, 0));
    // Alone in a batch, it is the next one.
    let outcome = apply(&sql, &lane(), &[outbox.rubbish("?")]).await.unwrap();
    assert_eq!(outcome.set_aside, 1);
    let seqs: Vec<i64> = set_aside::list(&sql, 10, 0).await.unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 3, 4, 6, 7]);
    let outcome = apply(&sql, &lane(), &[outbox.created(&mut Told::new(3))]).await.unwrap();
    assert_eq!(outcome.applied, 1);
}

async fn nothing_that_is_wrong_about_an_event_is_recorded(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut told = Told::new(0);
    // Each change makes the event that pays order `number` wrong in one way; the reason must say so.
    let wrongs = [
        ("\"amount\":19800", "\"amount\":1", "payment"),
        ("\"quantity\":2", "\"quantity\":3", "disagrees"),
        ("\"unit_price\":9900", "\"unit_price\":1", "disagrees"),
        ("\"currency\":\"CNY\"", "\"currency\":\"USD\"", "disagrees"),
        ("\"currency\":\"CNY\"", "\"currency\":\"cny\"", "currency"),
        ("\"user_id\":\"u-", "\"user_id\":\"x-", "disagrees"),
        ("\"user_id\":\"u-", "\"user_id\":\"u |", "id"),
        ("\"state\":\"paid\"", "\"state\":\"cancelled\"", "illegal move"),
        ("\"state\":\"paid\"", "\"state\":\"sold\"", "unknown variant"),
        ("\"paid_at\":1795255205000", "\"paid_at\":1795256100000", "paid_in_time"),
        ("\"paid_at\":1795255205000", "\"paid_at\":\"soon\"", "invalid type"),
        ("order.paid", "order.burnt", "type"),
        ("order.paid", "payment.created", "state of its order"),
        ("\"lane\":0", "\"lane\":9", "another lane"),
        ("-1\",\"amount\"", "-0\",\"amount\"", "id"),
        (",\"payment_id\":", ",\"paymentid\":", "payment"),
    ];
    for (number, (from, to, reason)) in (1..).zip(wrongs) {
        told = Told::new(number);
        let made = [outbox.created(&mut told), outbox.payment_created(&mut told)];
        assert_eq!(apply(&sql, &lane(), &made).await.unwrap().applied, 2);
        let mut paid = outbox.moved(&mut told, "order.paid", "paid");
        assert!(paid.event.contains(from), "{from}");
        paid.event = paid.event.replacen(from, to, 1);
        let outcome = apply(&sql, &lane(), &[paid]).await.unwrap();
        assert_eq!(outcome.set_aside, 1, "{from} → {to}");
        let aside = set_aside::list(&sql, 100, number - 1).await.unwrap();
        assert!(aside[0].error.contains(reason), "{from} → {to}: {}", aside[0].error);
        let order = read::order(&sql, &told.id).await.unwrap().unwrap();
        assert_eq!(order.state, OrderState::Unpaid, "{from} → {to}");
    }
    assert_eq!(sql.number("SELECT count(*) FROM payments WHERE state <> 'pending'").await, 0);
    // And a payment for more than the order.
    let mut entry = outbox.event("payment.created", &Told { attempt: 2, ..told }, "");
    entry.event = entry.event.replace("\"amount\":19800", "\"amount\":19801");
    assert_eq!(apply(&sql, &lane(), &[entry]).await.unwrap().set_aside, 1);
}

async fn later_events_of_the_order_are_set_aside_too(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told, mut other) = (Outbox::new(), Told::new(1), Told::new(2));
    let mut entries = vec![
        outbox.created(&mut told),
        outbox.created(&mut other),
        outbox.payment_created(&mut told),
        // Legal by itself on what the database knows; but it follows a payment that is in doubt.
        outbox.moved(&mut told, "order.cancelled", "cancelled"),
        outbox.moved(&mut other, "order.cancelled", "cancelled"),
    ];
    entries[2].event = entries[2].event.replace("\"amount\":19800", "\"amount\":0");
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside), (3, 2));
    assert_eq!(read::order(&sql, &told.id).await.unwrap().unwrap().state, OrderState::Unpaid);
    assert_eq!(read::order(&sql, &other.id).await.unwrap().unwrap().state, OrderState::Cancelled);
    let aside = set_aside::list(&sql, 10, 0).await.unwrap();
    assert!(aside[1].error.contains("an earlier event of this order was set aside"), "{}", aside[1].error);
}

async fn an_event_is_set_aside_once(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let entries = [
        outbox.created(&mut Told::new(1)),
        outbox.rubbish("?"),
        outbox.moved(&mut Told::new(2), "order.paid", "paid"),
        outbox.created(&mut Told::new(3)),
    ];
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside), (2, 2));
    for part in [&entries[..], &entries[1..2], &entries[2..3]] {
        let outcome = apply(&sql, &lane(), part).await.unwrap();
        assert_eq!((outcome.repeated, outcome.done.len()), (part.len(), part.len()), "{outcome:?}");
    }
    assert_eq!(set_aside::count(&sql).await.unwrap(), 2);
}

async fn a_number_used_twice_loses_neither_event(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let made: Vec<Entry> = (1..=3).map(|number| outbox.created(&mut Told::new(number))).collect();
    apply(&sql, &lane(), &made).await.unwrap();
    // Redis came back from a copy of before the third event, and goes on from there.
    let mut restored = Outbox::new();
    let again: Vec<Entry> = (1..=2).map(|number| restored.created(&mut Told::new(number))).collect();
    let mut other = restored.created(&mut Told::new(77));
    other.id = "1795255299999-0".to_owned();
    let outcome = apply(&sql, &lane(), &[again, vec![other]].concat()).await.unwrap();
    // It stays in the outbox until the lane is rebuilt.
    assert_eq!((outcome.repeated, outcome.set_aside, outcome.waiting), (2, 0, 1));
    assert!(outcome.contradicts);
    assert_eq!(outcome.done.len(), 2);
    assert_eq!(set_aside::count(&sql).await.unwrap(), 0);
    assert!(read::order(&sql, &Told::new(3).id).await.unwrap().is_some());
}

async fn what_never_came_is_passed_over_and_applied_if_it_comes_after_all(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let first = outbox.created(&mut Told::new(9));
    let made = outbox.created(&mut told);
    let opened = outbox.payment_created(&mut told);
    let paid = outbox.moved(&mut told, "order.paid", "paid");
    let other = outbox.created(&mut Told::new(2));
    apply(&sql, &lane(), &[first]).await.unwrap();
    let late = [opened.clone(), paid.clone(), other.clone()];
    assert_eq!(apply(&sql, &lane(), &late).await.unwrap().waiting, 3);
    // The operator gives the second event up.
    assert_eq!(set_aside::pass_over(&sql, &lane(), 2).await.unwrap(), 1);
    assert_eq!(set_aside::pass_over(&sql, &lane(), 2).await.unwrap(), 0);
    let outcome = apply(&sql, &lane(), &late).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside), (1, 2));
    assert_eq!(set_aside::retry(&sql, 100, 0).await.unwrap(), set_aside::Retried { applied: 0, refused: 3 });
    // The event comes after all. It is set aside at first, since the lane has gone past it. Then everything can be applied,
    // in order.
    assert_eq!(apply(&sql, &lane(), &[made]).await.unwrap().set_aside, 1);
    assert_eq!(set_aside::retry(&sql, 100, 0).await.unwrap(), set_aside::Retried { applied: 3, refused: 1 });
    assert_eq!(read::order(&sql, &told.id).await.unwrap().unwrap().state, OrderState::Paid);
    let left = set_aside::list(&sql, 10, 0).await.unwrap();
    assert_eq!((left.len(), left[0].stream_id.as_str()), (1, "missing-2"));
    // What was applied is a repeat from now on.
    assert_eq!(apply(&sql, &lane(), &late).await.unwrap().repeated, 3);
    assert_eq!(sql.number("SELECT count(*) FROM events").await, 5);
}

async fn a_dismissed_event_stands_in_no_way(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let made = outbox.created(&mut told);
    let mut broken = outbox.payment_created(&mut told);
    broken.event = broken.event.replace("19800", "0");
    assert_eq!(apply(&sql, &lane(), &[made, broken.clone()]).await.unwrap().set_aside, 1);
    assert!(set_aside::dismiss(&sql, &lane(), &broken.id).await.unwrap());
    assert!(!set_aside::dismiss(&sql, &lane(), &broken.id).await.unwrap(), "it is settled");
    assert_eq!(set_aside::count(&sql).await.unwrap(), 0);
    assert_eq!(set_aside::retry(&sql, 10, 0).await.unwrap(), set_aside::Retried::default());
    // The database still knows it when it comes again, and applies the new events.
    let again = outbox.event("payment.created", &told, "");
    let outcome = apply(&sql, &lane(), &[broken, again]).await.unwrap();
    assert_eq!((outcome.applied, outcome.repeated, outcome.set_aside), (1, 1, 0));
}

async fn text_that_a_database_cannot_store_is_no_reason_to_lose_anything(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let (mut told, other) = (Told::new(2), Told::new(3));
    let mut typed = outbox.created(&mut told);
    typed.event = typed.event.replace("u-2", "u-2\",\"typed\":\"\\u0000");
    let mut wrong = outbox.event("order.cancelled", &other, r#","note":"\u0000""#);
    wrong.event = wrong.event.replace("unpaid", "cancelled");
    for repeated in [false, true] {
        let outcome = apply(&sql, &lane(), &[typed.clone(), wrong.clone()]).await.unwrap();
        assert_eq!((outcome.applied, outcome.set_aside), if repeated { (0, 0) } else { (1, 1) });
    }
    assert!(read::order(&sql, &told.id).await.unwrap().is_some());
    let entries =
        [outbox.rubbish("\0\0"), outbox.created(&mut Told::new(1)), outbox.rubbish(&"x".repeat(100_000))];
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.set_aside), (1, 2));
    let aside = set_aside::list(&sql, 10, 1).await.unwrap();
    assert_eq!(aside[0].event, "\u{fffd}\u{fffd}");
    assert_eq!(aside[1].event.len(), 65_536);
}
