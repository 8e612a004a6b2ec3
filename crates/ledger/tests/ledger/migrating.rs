use crate::support::{World, on_both, runtime};
use order_ledger::migrate::{MigrateError, Migration, is_up_to_date, migrate, migrate_by, migrations};
use order_ledger::{Sql, SqlError};

on_both![
    many_that_start_at_once_migrate_once,
    a_changed_migration_is_an_error,
    a_migration_that_fails_leaves_nothing_behind,
    a_later_version_adds_only_what_is_new,
];

async fn many_that_start_at_once_migrate_once(world: &World) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                runtime().block_on(async {
                    let sql = world.connect().await;
                    // A starter that waits longer than its patience for the first one starts again.
                    while let Err(error) = migrate(&sql).await {
                        assert!(matches!(error, MigrateError::Sql(SqlError::Unavailable(_))), "{error:?}");
                    }
                    assert_eq!(migrate(&sql).await, Ok(0));
                });
            });
        }
    });
    let sql = world.connect().await;
    assert_eq!(is_up_to_date(&sql).await, Ok(true));
    assert_eq!(is_up_to_date(&World::sqlite().connect().await).await, Ok(false));
    assert_eq!(sql.number("SELECT count(*) FROM ledger_migrations").await, 2);
    assert_eq!(sql.number("SELECT count(*) FROM transitions").await, 15);
}

async fn a_changed_migration_is_an_error(world: &World) {
    let sql = world.ledger().await;
    let mut changed = migrations(sql.dialect()).to_vec();
    changed[0].text = "SELECT 1";
    let error = Err(MigrateError::Changed { number: 1, name: "orders" });
    assert_eq!(migrate_by(&sql, &changed).await, error);
    // Line ends are no change: a checkout may have others.
    let with_carriage_returns = migrations(sql.dialect())[0].text.replace('\n', "\r\n");
    changed[0].text = with_carriage_returns.leak();
    assert_eq!(migrate_by(&sql, &changed).await, Ok(0));
}

async fn a_migration_that_fails_leaves_nothing_behind(world: &World) {
    let sql = world.ledger().await;
    let text = "CREATE TABLE extra (id BIGINT)\n-- next\nCREATE TABLE extra (id BIGINT)";
    let mut more = migrations(sql.dialect()).to_vec();
    more.push(Migration { number: 3, name: "extra", text });
    assert!(migrate_by(&sql, &more).await.is_err());
    let missing = sql.execute("SELECT id FROM extra", &[]).await;
    assert!(matches!(missing, Err(SqlError::Misunderstood(_))), "{missing:?}");
    assert_eq!(sql.number("SELECT count(*) FROM ledger_migrations").await, 2);
    // The mended migration is applied as if nothing had been.
    more[2].text = "CREATE TABLE extra (id BIGINT)";
    assert_eq!(migrate_by(&sql, &more).await, Ok(1));
    assert_eq!(sql.number("SELECT count(*) FROM extra").await, 0);
}

async fn a_later_version_adds_only_what_is_new(world: &World) {
    let sql = world.ledger().await;
    let mut more = migrations(sql.dialect()).to_vec();
    more.push(Migration { number: 3, name: "extra", text: "CREATE TABLE extra (id BIGINT)" });
    assert_eq!(migrate_by(&sql, &more).await, Ok(1));
    assert_eq!(migrate_by(&sql, &more).await, Ok(0));
    // The earlier version still works on it.
    assert_eq!(migrate(&sql).await, Ok(0));
}
