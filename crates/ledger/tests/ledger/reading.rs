use crate::support::{CREATED_AT, Outbox, Told, World, lane, on_both};
use order_ledger::read::{self, PaymentState};
use order_ledger::{Entry, apply};
use sale::order::OrderState;

on_both![
    a_shopper_sees_their_orders_newest_first_in_pages,
    operators_find_what_they_have_to_do,
    a_lane_is_read_in_pieces,
    totals_add_up,
];

async fn a_shopper_sees_their_orders_newest_first_in_pages(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let entries: Vec<Entry> = (0..25)
        .map(|number| {
            let user = if number % 5 == 4 { "u-other" } else { "u-one" }.to_owned();
            outbox.created(&mut Told { user, ..Told::new(number) })
        })
        .collect();
    apply(&sql, &lane(), &entries).await.unwrap();
    let one = "u-one".parse().unwrap();
    let page = read::orders_of(&sql, &one, 8, 0).await.unwrap();
    assert_eq!((page.total, page.rows.len()), (20, 8));
    assert_eq!(page.rows[0].id, Told::new(23).id);
    assert!(page.rows.windows(2).all(|pair| pair[0].created_at > pair[1].created_at));
    let last = read::orders_of(&sql, &one, 8, 16).await.unwrap();
    assert_eq!((last.total, last.rows.len()), (20, 4));
    assert_eq!(last.rows[3].id, Told::new(0).id);
    assert_eq!(last.rows[3].created_at.millis(), CREATED_AT + 1);
    // Another's order is not found, and neither is one that does not exist.
    assert!(read::order_of(&sql, &Told::new(0).id, &one).await.unwrap().is_some());
    assert!(read::order_of(&sql, &Told::new(4).id, &one).await.unwrap().is_none());
    assert!(read::order_of(&sql, &Told::new(99).id, &one).await.unwrap().is_none());
    assert_eq!(read::orders_of(&sql, &"u-none".parse().unwrap(), 8, 0).await.unwrap().total, 0);
}

async fn operators_find_what_they_have_to_do(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut entries = Vec::new();
    for number in (0..6).rev() {
        let mut told = Told::new(number);
        entries.push(outbox.created(&mut told));
        entries.push(outbox.moved(&mut told, "order.cancelled", "cancelled"));
        if number % 2 == 0 {
            entries.push(outbox.moved(&mut told, "order.refund_due", "refund_due"));
        }
    }
    apply(&sql, &lane(), &entries).await.unwrap();
    let due = read::orders_in(&sql, OrderState::RefundDue, 2, 0).await.unwrap();
    assert_eq!(due.total, 3);
    // The one that waits longest comes first.
    assert_eq!(
        due.rows.iter().map(|order| &order.id).collect::<Vec<_>>(),
        [&Told::new(4).id, &Told::new(2).id]
    );
    read::ping(&sql).await.unwrap();
}

async fn a_lane_is_read_in_pieces(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut entries = Vec::new();
    for number in 0..30 {
        let mut told = Told::new(number);
        entries.push(outbox.created(&mut told));
        match number % 3 {
            0 => entries.push(outbox.moved(&mut told, "order.cancelled", "cancelled")),
            1 => entries.push(outbox.moved(&mut told, "order.paid", "paid")),
            _ => {}
        }
    }
    apply(&sql, &lane(), &entries).await.unwrap();
    let standing = [OrderState::Unpaid, OrderState::Paid];
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let piece = read::orders_of_lane(&sql, &lane(), &standing, after.as_ref(), 7).await.unwrap();
        let Some(last) = piece.last() else { break };
        after = Some(last.id.clone());
        seen.extend(piece.into_iter().map(|order| order.id));
    }
    let expected: Vec<_> =
        (0..30).filter(|number| number % 3 != 0).map(|number| Told::new(number).id).collect();
    assert_eq!(seen, expected);
    let (mut payments, mut after) = (0, None);
    loop {
        let piece = read::payments_of_lane(&sql, &lane(), after.as_ref(), 3).await.unwrap();
        let Some(last) = piece.last() else { break };
        after = Some(last.id.clone());
        payments += piece.len();
    }
    assert_eq!(payments, 10);
    assert_eq!(read::lanes(&sql).await.unwrap(), [(lane(), entries.len() as i64)]);
    let other = "iabcdefghij:1".parse().unwrap();
    assert!(read::payments_of_lane(&sql, &other, None, 7).await.unwrap().is_empty());
    assert!(read::orders_of_lane(&sql, &other, &standing, None, 7).await.unwrap().is_empty());
}

async fn totals_add_up(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let mut entries = Vec::new();
    for number in 0..10 {
        let mut told = Told { quantity: 1 + i64::from(number), ..Told::new(number) };
        entries.push(outbox.created(&mut told));
        entries.push(outbox.payment_created(&mut told));
        match number {
            0..4 => entries.push(outbox.moved(&mut told, "order.paid", "paid")),
            4 => entries.push(outbox.payment_failed(&told)),
            _ => {}
        }
    }
    apply(&sql, &lane(), &entries).await.unwrap();
    let totals = read::totals(&sql, &lane().item).await.unwrap();
    let told: Vec<_> = totals
        .iter()
        .map(|total| (total.lane, total.state, total.orders, total.quantity, total.amount))
        .collect();
    assert_eq!(told, [(0, OrderState::Paid, 4, 10, 99_000), (0, OrderState::Unpaid, 6, 45, 445_500)]);
    let payments = read::payment_totals(&sql, &lane().item).await.unwrap();
    let told: Vec<_> = payments.iter().map(|total| (total.state, total.payments, total.amount)).collect();
    assert_eq!(
        told,
        [
            (PaymentState::Failed, 1, 5 * 9_900),
            (PaymentState::Pending, 5, 40 * 9_900),
            (PaymentState::Succeeded, 4, 99_000)
        ]
    );
    let none = "izzzzzzzzzz".parse().unwrap();
    assert!(read::totals(&sql, &none).await.unwrap().is_empty());
}
