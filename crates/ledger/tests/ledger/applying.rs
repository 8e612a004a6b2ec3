use crate::support::{Chance, Client, Outbox, Told, World, lane, on_both, runtime};
use order_ledger::read::{self, PaymentState};
use order_ledger::{Applied, Entry, Sql, apply};
use sale::order::{OrderEvent, OrderState};
use sale::payment::PaymentEvent;
use sale::time::Timestamp;
use std::collections::BTreeSet;

on_both![
    an_order_is_made_as_its_event_tells,
    every_legal_move_happens_and_no_other,
    the_moves_of_sql_are_those_of_the_domain,
    every_legal_move_of_a_payment_happens_and_no_other,
    the_same_events_again_change_nothing,
    events_that_come_out_of_order_are_applied_in_order,
    nothing_behind_a_gap_is_written_until_it_closes,
    a_payment_that_failed_may_still_succeed,
    an_earlier_attempt_may_be_the_one_that_pays,
    money_is_recorded_even_if_its_payment_was_never_announced,
    two_workers_at_once_write_each_event_once,
    lanes_count_apart,
];

async fn an_order_is_made_as_its_event_tells(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let outcome = apply(&sql, &lane(), &[outbox.created(&mut told)]).await.unwrap();
    assert_eq!(
        outcome,
        Applied { applied: 1, done: vec!["1795255200000-1".to_owned()], ..Applied::default() }
    );
    let order = read::order(&sql, &told.id).await.unwrap().unwrap();
    assert_eq!(order.state, OrderState::Unpaid);
    assert_eq!((order.quantity, order.unit_price.amount, order.total.amount), (2, 9_900, 19_800));
    assert_eq!(order.total.currency.as_str(), "CNY");
    assert_eq!(order.user.as_str(), "u-1");
    assert_eq!((order.paid_at, order.payment), (None, None));
    assert_eq!(read::written(&sql, &lane()).await.unwrap(), 1);
}

/// The events that bring an order to `state`, the shortest way.
fn way_to(state: OrderState, outbox: &mut Outbox, told: &mut Told) -> Vec<Entry> {
    let mut entries = vec![outbox.created(told), outbox.payment_created(told)];
    let late = |outbox: &mut Outbox, told: &mut Told| {
        [
            outbox.moved(told, "order.timed_out", "timed_out"),
            outbox.moved(told, "order.refund_due", "refund_due"),
        ]
    };
    match state {
        OrderState::Unpaid => {}
        OrderState::Paid => entries.push(outbox.moved(told, "order.paid", "paid")),
        OrderState::Cancelled => entries.push(outbox.moved(told, "order.cancelled", "cancelled")),
        OrderState::TimedOut => entries.push(outbox.moved(told, "order.timed_out", "timed_out")),
        OrderState::RefundDue => entries.extend(late(outbox, told)),
        OrderState::Refunded => {
            entries.extend(late(outbox, told));
            entries.push(outbox.moved(told, "order.refunded", "refunded"));
        }
    }
    entries
}

async fn every_legal_move_happens_and_no_other(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut number = 0;
    for from in OrderState::ALL {
        for event in OrderEvent::ALL {
            for target in OrderState::ALL {
                number += 1;
                let mut told = Told::new(number);
                let way = way_to(from, &mut outbox, &mut told);
                assert_eq!(apply(&sql, &lane(), &way).await.unwrap().applied, way.len(), "{from:?}");
                let entry = outbox.moved(&mut told, event.event_type(), target.as_str());
                let outcome = apply(&sql, &lane(), &[entry]).await.unwrap();
                // Legal is only the event that is, with the very state that follows from it.
                let legal = from.after(event) == Some(target);
                let case = format!("{from:?} {event:?} {target:?}");
                assert_eq!(
                    (outcome.applied, outcome.set_aside),
                    (usize::from(legal), usize::from(!legal)),
                    "{case}"
                );
                let order = read::order(&sql, &told.id).await.unwrap().unwrap();
                assert_eq!(order.state, if legal { target } else { from }, "{case}");
            }
        }
        for event in OrderEvent::ALL {
            number += 1;
            let entry = outbox.moved(&mut Told::new(number), event.event_type(), from.as_str());
            let outcome = apply(&sql, &lane(), &[entry]).await.unwrap();
            assert_eq!(outcome.set_aside, 1, "an order that was never made: {event:?} {from:?}");
        }
    }
}

async fn the_moves_of_sql_are_those_of_the_domain(world: &World) {
    let sql = world.ledger().await;
    let rows =
        sql.execute("SELECT subject, from_state, event, to_state FROM transitions", &[]).await.unwrap();
    let in_sql: BTreeSet<[String; 4]> =
        rows.iter().map(|row| [0, 1, 2, 3].map(|column| row.text(column).unwrap().to_owned())).collect();
    let orders = OrderState::ALL.into_iter().flat_map(|from| {
        OrderEvent::ALL.into_iter().filter_map(move |event| {
            let to = from.after(event)?;
            Some(["order", from.as_str(), event.event_type(), to.as_str()].map(str::to_owned))
        })
    });
    let payments = PaymentState::ALL.into_iter().flat_map(|from| {
        PaymentEvent::ALL.into_iter().filter_map(move |event| {
            let to = from.after(event)?;
            Some(["payment", from.as_str(), event.event_type(), to.as_str()].map(str::to_owned))
        })
    });
    assert_eq!(in_sql, orders.chain(payments).collect());
}

/// The events that bring payment 1 of an order to `state`: by itself, or with payment 2 as the one that pays.
fn way_of_payment(
    state: PaymentState,
    beside: bool,
    outbox: &mut Outbox,
    told: &mut Told,
) -> Option<Vec<Entry>> {
    let mut entries = vec![outbox.created(told), outbox.payment_created(told)];
    if beside {
        if state != PaymentState::Pending {
            entries.push(outbox.payment_failed(told));
        }
        entries.push(outbox.payment_created(told));
        entries.push(outbox.moved(told, "order.paid", "paid"));
        told.attempt = 1;
    }
    match (state, beside) {
        (PaymentState::Pending, _) | (PaymentState::Failed, true) => {}
        (PaymentState::Failed, false) => entries.push(outbox.payment_failed(told)),
        (PaymentState::Succeeded, false) => {
            entries.push(outbox.moved(told, "order.cancelled", "cancelled"));
            entries.push(outbox.moved(told, "order.refund_due", "refund_due"));
        }
        (PaymentState::RefundDue | PaymentState::Refunded, true) => {
            entries.push(outbox.event("payment.refund_due", told, ""));
            if state == PaymentState::Refunded {
                entries.push(outbox.event("payment.refunded", told, ""));
            }
        }
        _ => return None,
    }
    Some(entries)
}

async fn every_legal_move_of_a_payment_happens_and_no_other(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut number = 0;
    let mut seen = BTreeSet::new();
    for from in PaymentState::ALL {
        for event in PaymentEvent::ALL {
            for beside in [false, true] {
                number += 1;
                let mut told = Told::new(number);
                let before = outbox.clone();
                let Some(way) = way_of_payment(from, beside, &mut outbox, &mut told) else {
                    outbox = before;
                    continue;
                };
                let applied = apply(&sql, &lane(), &way).await.unwrap();
                assert_eq!(applied.applied, way.len(), "{from:?}, {beside}: {applied:?}");
                let entry = match event {
                    PaymentEvent::PaidInTime => outbox.moved(&mut told, event.event_type(), "paid"),
                    PaymentEvent::PaidLate => outbox.moved(&mut told, event.event_type(), "refund_due"),
                    PaymentEvent::OrderRefunded => outbox.moved(&mut told, event.event_type(), "refunded"),
                    _ => outbox.event(event.event_type(), &told, ""),
                };
                let outcome = apply(&sql, &lane(), &[entry]).await.unwrap();
                // What the payment may do, its order must allow as well: it is unpaid, refund_due, or paid by the other.
                let allowed = match event {
                    PaymentEvent::Failed | PaymentEvent::OrderRefunded => true,
                    PaymentEvent::PaidInTime => !beside,
                    // An order that has not ended is not paid late.
                    PaymentEvent::PaidLate => false,
                    PaymentEvent::PaidTwice | PaymentEvent::SurplusRefunded => beside,
                };
                let legal = from.after(event).filter(|_| allowed);
                let case = format!("{from:?} {event:?}, beside: {beside}");
                assert_eq!(
                    (outcome.applied, outcome.set_aside),
                    (usize::from(legal.is_some()), usize::from(legal.is_none())),
                    "{case}"
                );
                let statement = format!("SELECT state FROM payments WHERE id LIKE 'p-%{number:0>12}-1'");
                let rows = sql.execute(&statement, &[]).await.unwrap();
                assert_eq!(rows[0].text(0).unwrap(), legal.unwrap_or(from).as_str(), "{case}");
                if legal.is_some() {
                    seen.insert((from.as_str(), event.event_type()));
                }
            }
        }
    }
    for from in PaymentState::ALL {
        for event in PaymentEvent::ALL {
            let made = seen.contains(&(from.as_str(), event.event_type())) || event == PaymentEvent::PaidLate;
            assert!(from.after(event).is_none() || made, "{from:?}, {event:?}");
        }
    }
}

async fn the_same_events_again_change_nothing(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let mut entries = way_to(OrderState::Refunded, &mut outbox, &mut told);
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 5);
    let before = read::order(&sql, &told.id).await.unwrap();
    for part in [&entries[..], &entries[..1], &entries[2..4], &[entries[4].clone(), entries[0].clone()]] {
        let outcome = apply(&sql, &lane(), part).await.unwrap();
        assert_eq!((outcome.repeated, outcome.done.len()), (part.len(), part.len()), "{outcome:?}");
    }
    // Old and new in one batch, and one of them twice.
    entries.push(outbox.created(&mut Told::new(2)));
    entries.push(entries[5].clone());
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.repeated), (1, 6));
    assert!(read::order(&sql, &told.id).await.unwrap() == before);
    assert_eq!(sql.number("SELECT count(*) FROM events").await, 6);
    assert_eq!(read::history(&sql, &told.id).await.unwrap().len(), 5);
}

/// Whole lives of `orders` orders, their events mixed as those of a crowd are.
fn lives(orders: u32, chance: &mut Chance) -> (Vec<Entry>, Vec<Told>) {
    let mut outbox = Outbox::new();
    let mut told: Vec<Told> = (0..orders).map(Told::new).collect();
    let mut steps: Vec<(usize, usize)> = Vec::new();
    let mut next = vec![0; told.len()];
    let mut entries = Vec::new();
    for at in 0..told.len() {
        steps.extend((0..4).map(|_| (chance.below(1_000_000), at)));
    }
    steps.sort();
    for (_, at) in steps {
        let order = &mut told[at];
        let way = at % 4;
        entries.push(match (next[at], way) {
            (0, _) => outbox.created(order),
            (1, 0 | 1) => outbox.payment_created(order),
            (2, 0) => outbox.moved(order, "order.paid", "paid"),
            (2, 1) => outbox.payment_failed(order),
            (1, 2) => outbox.moved(order, "order.cancelled", "cancelled"),
            (1, 3) => outbox.moved(order, "order.timed_out", "timed_out"),
            (2, 3) => outbox.moved(order, "order.refund_due", "refund_due"),
            (3, 3) => outbox.moved(order, "order.refunded", "refunded"),
            _ => continue,
        });
        next[at] += 1;
    }
    (entries, told)
}

async fn assert_told(sql: &Client, entries: &[Entry], told: &[Told]) {
    assert_eq!(sql.number("SELECT count(*) FROM events").await, entries.len() as i64);
    assert_eq!(sql.number("SELECT count(*) FROM set_aside").await, 0);
    for told in told {
        let order = read::order(sql, &told.id).await.unwrap().unwrap();
        assert_eq!(order.state.as_str(), told.state);
        assert_eq!(order.paid_at, told.paid_at.map(Timestamp::from_millis));
    }
}

async fn events_that_come_out_of_order_are_applied_in_order(world: &World) {
    let sql = world.ledger().await;
    let mut chance = Chance(7);
    let (entries, told) = lives(60, &mut chance);
    let mut shuffled = entries.clone();
    chance.shuffle(&mut shuffled);
    let outcome = apply(&sql, &lane(), &shuffled).await.unwrap();
    assert_eq!((outcome.applied, outcome.waiting, outcome.set_aside), (entries.len(), 0, 0));
    assert_told(&sql, &entries, &told).await;
}

async fn nothing_behind_a_gap_is_written_until_it_closes(world: &World) {
    let sql = world.ledger().await;
    let mut chance = Chance(11);
    let (entries, told) = lives(20, &mut chance);
    // The very first is missing: nothing can be written.
    let outcome = apply(&sql, &lane(), &entries[1..9]).await.unwrap();
    assert_eq!((outcome.applied, outcome.waiting, outcome.done.len()), (0, 8, 0));
    // One in the middle is missing: what is before it is written, what is behind it waits.
    let without_sixth: Vec<Entry> = [&entries[..5], &entries[6..12]].concat();
    let outcome = apply(&sql, &lane(), &without_sixth).await.unwrap();
    assert_eq!((outcome.applied, outcome.waiting), (5, 6));
    assert_eq!(outcome.done.len(), 5);
    assert_eq!(read::written(&sql, &lane()).await.unwrap(), 5);
    let outcome = apply(&sql, &lane(), &entries[7..]).await.unwrap();
    assert_eq!((outcome.applied, outcome.waiting), (0, entries.len() - 7));
    // Rubbish behind a gap waits as well: its turn has not come.
    let rubbish = Entry { id: "1795255200000-7".to_owned(), event: "{".to_owned() };
    let outcome = apply(&sql, &lane(), &[rubbish, entries[7].clone()]).await.unwrap();
    assert_eq!((outcome.set_aside, outcome.waiting), (0, 2));
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.repeated, outcome.waiting), (entries.len() - 5, 5, 0));
    assert_told(&sql, &entries, &told).await;
}

async fn a_payment_that_failed_may_still_succeed(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let entries = [
        outbox.created(&mut told),
        outbox.payment_created(&mut told),
        outbox.payment_failed(&told),
        outbox.moved(&mut told, "order.paid", "paid"),
    ];
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 4);
    let payments = read::payments_of(&sql, &told.id).await.unwrap();
    assert_eq!((payments.len(), payments[0].state), (1, PaymentState::Succeeded));
    assert_eq!(payments[0].settled_at, told.paid_at.map(Timestamp::from_millis));
}

async fn an_earlier_attempt_may_be_the_one_that_pays(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let mut entries = vec![
        outbox.created(&mut told),
        outbox.payment_created(&mut told),
        outbox.payment_failed(&told),
        outbox.payment_created(&mut told),
    ];
    told.attempt = 1;
    entries.push(outbox.moved(&mut told, "order.paid", "paid"));
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 5);
    let states: Vec<_> =
        read::payments_of(&sql, &told.id).await.unwrap().iter().map(|payment| payment.state).collect();
    assert_eq!(states, [PaymentState::Succeeded, PaymentState::Pending]);
    let order = read::order(&sql, &told.id).await.unwrap().unwrap();
    assert_eq!(order.payment.unwrap().attempt, 1);
}

async fn money_is_recorded_even_if_its_payment_was_never_announced(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let entries = [
        outbox.created(&mut told),
        outbox.moved(&mut told, "order.cancelled", "cancelled"),
        outbox.moved(&mut told, "order.refund_due", "refund_due"),
    ];
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 3);
    let payments = read::payments_of(&sql, &told.id).await.unwrap();
    assert_eq!((payments[0].state, payments[0].amount.amount), (PaymentState::Succeeded, 19_800));
}

async fn two_workers_at_once_write_each_event_once(world: &World) {
    let sql = world.ledger().await;
    let (entries, told) = lives(100, &mut Chance(13));
    let applied: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=4)
            .map(|seed| {
                let entries = &entries;
                scope.spawn(move || {
                    runtime().block_on(async {
                        let sql = world.connect().await;
                        let (mut chance, mut from, mut applied) = (Chance(seed), 0, 0);
                        while from < entries.len() {
                            // Batches that overlap, repeat, and run ahead of what is written.
                            let start = (from + chance.below(8)).saturating_sub(4);
                            let end = (start + 1 + chance.below(20)).min(entries.len());
                            let Ok(outcome) = apply(&sql, &lane(), &entries[start..end]).await else {
                                continue;
                            };
                            applied += outcome.applied;
                            if outcome.waiting == 0 && start <= from {
                                from = from.max(end);
                            }
                        }
                        applied
                    })
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(applied, entries.len());
    assert_told(&sql, &entries, &told).await;
}

async fn lanes_count_apart(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let entry = outbox.created(&mut told);
    let other = "iabcdefghij:1".parse().unwrap();
    let elsewhere = Entry {
        event: entry.event.replace("\"lane\":0", "\"lane\":1").replace("hij-0-", "hij-1-"),
        ..entry.clone()
    };
    assert_eq!(apply(&sql, &lane(), &[entry]).await.unwrap().applied, 1);
    assert_eq!(apply(&sql, &other, &[elsewhere]).await.unwrap().applied, 1);
    assert_eq!(read::written(&sql, &other).await.unwrap(), 1);
    assert_eq!(sql.number("SELECT count(*) FROM orders").await, 2);
}
