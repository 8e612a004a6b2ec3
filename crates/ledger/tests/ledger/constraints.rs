use crate::support::{Client, Outbox, Told, World, lane, on_both};
use order_ledger::{Dialect, Sql, SqlError, apply};

on_both![no_row_is_written_past_the_rules, nothing_is_ever_emptied_at_once];

/// A paid order (1), an unpaid one (2) with a pending payment, and one to be refunded (3).
async fn filled(world: &World) -> Client {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let [mut paid, mut unpaid, mut late] = [1, 2, 3].map(Told::new);
    let entries = [
        outbox.created(&mut paid),
        outbox.payment_created(&mut paid),
        outbox.moved(&mut paid, "order.paid", "paid"),
        outbox.created(&mut unpaid),
        outbox.payment_created(&mut unpaid),
        outbox.created(&mut late),
        outbox.moved(&mut late, "order.timed_out", "timed_out"),
        outbox.moved(&mut late, "order.refund_due", "refund_due"),
    ];
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().applied, 8);
    sql
}

async fn no_row_is_written_past_the_rules(world: &World) {
    let sql = filled(world).await;
    let order = |number: u32| format!("o-iabcdefghij-0-{number:0>12}");
    let insert = |columns: &str, values: &str| {
        format!(
            "INSERT INTO orders (id, reservation_id, item_id, lane, user_id, quantity, unit_price, currency, state, \
             created_at, pay_by, updated_at, seq{columns}) VALUES ({values})"
        )
    };
    let payment = |id: &str, number: u32, amount: i64, state: &str, settled: &str| {
        format!(
            "INSERT INTO payments (id, order_id, amount, currency, state, created_at, settled_at) \
             VALUES ('{id}', '{}', {amount}, 'CNY', '{state}', 1, {settled})",
            order(number)
        )
    };
    let statements = [
        // Orders that no event made: without one, and by an event of another order.
        insert("", "'o-x', 'r-x', 'iabcdefghij', 0, 'u', 1, 1, 'CNY', 'unpaid', 1, 2, 1, 99"),
        insert("", "'o-x', 'r-x', 'iabcdefghij', 0, 'u', 1, 1, 'CNY', 'unpaid', 1, 2, 1, 1"),
        insert(
            ", paid_at, payment_id",
            "'o-x', 'r-x', 'iabcdefghij', 0, 'u', 1, 1, 'CNY', 'paid', 1, 2, 1, 1, 1, 'p'",
        ),
        // Moves: illegal ones, legal ones that no event tells of, and money that never came.
        format!(
            "UPDATE orders SET state = 'unpaid', paid_at = NULL, payment_id = NULL WHERE id = '{}'",
            order(1)
        ),
        format!("UPDATE orders SET state = 'refund_due' WHERE id = '{}'", order(1)),
        format!("UPDATE orders SET state = 'refunded' WHERE id = '{}'", order(3)),
        format!("UPDATE orders SET state = 'cancelled' WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET state = 'cancelled', seq = 4 WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET state = 'nonsense' WHERE id = '{}'", order(2)),
        format!(
            "UPDATE orders SET state = 'paid', paid_at = 2, payment_id = 'p-iabcdefghij-0-000000000002-1' \
             WHERE id = '{}'",
            order(2)
        ),
        // The subject of an order does not change.
        format!("UPDATE orders SET quantity = 1 WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET unit_price = 1 WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET user_id = 'u-thief' WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET address = 'elsewhere' WHERE id = '{}'", order(1)),
        format!("UPDATE orders SET pay_by = pay_by + 1 WHERE id = '{}'", order(2)),
        format!("UPDATE orders SET paid_at = paid_at - 1 WHERE id = '{}'", order(1)),
        format!("UPDATE orders SET reservation_id = 'r-other' WHERE id = '{}'", order(2)),
        "DELETE FROM orders".to_owned(),
        // Payments of no order, of another amount, of a state out of nothing; a second success; a way back.
        payment("p-1", 404, 19_800, "pending", "NULL"),
        payment("p-1", 1, 19_799, "pending", "NULL"),
        payment("p-1", 1, 19_800, "succeeded", "2"),
        payment("p-iabcdefghij-0-000000000002-1", 2, 19_800, "pending", "NULL"),
        "UPDATE payments SET state = 'pending', settled_at = NULL WHERE state = 'succeeded'".to_owned(),
        "UPDATE payments SET state = 'refunded', refunded_at = 1 WHERE state = 'pending'".to_owned(),
        "UPDATE payments SET amount = 1".to_owned(),
        format!("UPDATE payments SET order_id = '{}'", order(3)),
        "DELETE FROM payments".to_owned(),
        // Events do not change.
        "UPDATE events SET payload = '{}' WHERE seq = 1".to_owned(),
        "UPDATE events SET type = 'order.cancelled' WHERE seq = 8".to_owned(),
        "DELETE FROM events WHERE seq = 8".to_owned(),
        "INSERT INTO events (item_id, lane, seq, type, order_id, at, payload) \
         VALUES ('iabcdefghij', 0, 99, 'order.created', 'o-x', 1, '{}')"
            .to_owned(),
        "UPDATE lanes SET seq = 1".to_owned(),
        "DELETE FROM lanes".to_owned(),
    ];
    let counts = "SELECT (SELECT count(*) FROM orders) * 10000 + (SELECT count(*) FROM payments) * 100 \
        + (SELECT count(*) FROM events)";
    for statement in &statements {
        let outcome = sql.execute(statement, &[]).await;
        assert!(matches!(outcome, Err(SqlError::Refused(_))), "{statement}: {outcome:?}");
        assert_eq!(sql.number(counts).await, 30_308);
    }
    let states = "SELECT count(*) FROM orders WHERE (state = 'paid' AND seq = 3) OR (state = 'unpaid' AND seq = 4) \
        OR (state = 'refund_due' AND seq = 8)";
    assert_eq!(sql.number(states).await, 3);
    // The same for events that were set aside.
    apply(&sql, &lane(), &[order_ledger::Entry { id: "9-9".into(), event: "?".into() }]).await.unwrap();
    for statement in [
        "DELETE FROM set_aside",
        "UPDATE set_aside SET error = ''",
        "UPDATE set_aside SET applied_at = NULL",
        "UPDATE set_aside SET applied_at = 1",
        "INSERT INTO set_aside (item_id, lane, stream_id, seq, payload, error, at) VALUES ('i', 0, 'x', 5, '', '', 1)",
    ] {
        let outcome = sql.execute(statement, &[]).await;
        assert!(matches!(outcome, Err(SqlError::Refused(_))), "{statement}: {outcome:?}");
    }
}

async fn nothing_is_ever_emptied_at_once(world: &World) {
    let sql = filled(world).await;
    // SQLite has no TRUNCATE; a DELETE of everything must not take its shortcut past the triggers there.
    let all = match sql.dialect() {
        Dialect::Sqlite => "DELETE FROM",
        Dialect::Postgres => "TRUNCATE",
    };
    for table in ["orders", "payments", "events", "lanes"] {
        let cascade = if sql.dialect() == Dialect::Postgres { " CASCADE" } else { "" };
        let outcome = sql.execute(&format!("{all} {table}{cascade}"), &[]).await;
        assert!(matches!(outcome, Err(SqlError::Refused(_))), "{table}: {outcome:?}");
        assert!(sql.number(&format!("SELECT count(*) FROM {table}")).await > 0);
    }
}
