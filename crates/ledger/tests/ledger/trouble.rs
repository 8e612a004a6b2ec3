use crate::support::{Client, LOCK_PATIENCE, Outbox, Told, World, lane, on_both, run, runtime};
use order_ledger::migrate::migrate;
use order_ledger::{Dialect, Entry, Sql, SqlError, apply, read, set_aside};
use std::time::{Duration, Instant};
use testkit::Postgres;

on_both![a_locked_database_is_unavailable_soon_and_nothing_is_set_aside];

/// Longer than any bounded call may take, even on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(5);

fn made(outbox: &mut Outbox, numbers: std::ops::Range<u32>) -> Vec<Entry> {
    numbers.map(|number| outbox.created(&mut Told::new(number))).collect()
}

async fn a_locked_database_is_unavailable_soon_and_nothing_is_set_aside(world: &World) {
    let sql = world.ledger().await;
    let mut outbox = Outbox::new();
    let entries = made(&mut outbox, 0..10);
    assert_eq!(apply(&sql, &lane(), &entries[..3]).await.unwrap().applied, 3);
    let holder = world.connect().await;
    let locks: &[&str] = match sql.dialect() {
        Dialect::Sqlite => &["BEGIN IMMEDIATE"],
        Dialect::Postgres => &["BEGIN", "LOCK TABLE lanes, events IN ACCESS EXCLUSIVE MODE"],
    };
    for lock in locks {
        holder.execute(lock, &[]).await.unwrap();
    }
    let began = Instant::now();
    let outcome = apply(&sql, &lane(), &entries).await;
    assert!(matches!(outcome, Err(SqlError::Unavailable(_))), "{outcome:?}");
    assert!(began.elapsed() >= LOCK_PATIENCE.mul_f32(0.9), "it gave the lock a chance");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    holder.execute("ROLLBACK", &[]).await.unwrap();
    let outcome = apply(&sql, &lane(), &entries).await.unwrap();
    assert_eq!((outcome.applied, outcome.repeated, outcome.set_aside), (7, 3, 0));
    assert_eq!(set_aside::count(&sql).await.unwrap(), 0);
}

#[test]
fn readers_of_sqlite_do_not_wait_for_the_writer() {
    run(World::sqlite(), async |world: &World| {
        let sql = world.ledger().await;
        apply(&sql, &lane(), &made(&mut Outbox::new(), 0..3)).await.unwrap();
        let holder = world.connect().await;
        holder.execute("BEGIN IMMEDIATE", &[]).await.unwrap();
        let began = Instant::now();
        assert!(read::order(&sql, &Told::new(1).id).await.unwrap().is_some());
        assert!(began.elapsed() < LOCK_PATIENCE, "{:?}", began.elapsed());
    });
}

#[test]
fn a_full_sqlite_is_unavailable_and_takes_all_once_there_is_room() {
    run(World::sqlite(), async |world: &World| {
        let sql = world.ledger().await;
        let entries = made(&mut Outbox::new(), 0..500);
        let pages = sql.number("PRAGMA page_count").await;
        sql.execute(&format!("PRAGMA max_page_count = {}", pages + 2), &[]).await.unwrap();
        let outcome = apply(&sql, &lane(), &entries).await;
        assert!(matches!(outcome, Err(SqlError::Unavailable(_))), "{outcome:?}");
        assert_eq!(sql.number("SELECT count(*) FROM orders").await, 0);
        sql.execute(&format!("PRAGMA max_page_count = {}", pages + 10_000), &[]).await.unwrap();
        let outcome = apply(&sql, &lane(), &entries).await.unwrap();
        assert_eq!((outcome.applied, outcome.set_aside), (500, 0));
    });
}

#[test]
fn a_postgres_that_crashed_has_each_event_once_when_it_is_back() {
    runtime().block_on(async {
        let server = Postgres::start().unwrap();
        let url = server.url("postgres");
        let sql = Client::postgres(&url).await.unwrap();
        migrate(&sql).await.unwrap();
        let entries = made(&mut Outbox::new(), 0..40);
        assert_eq!(apply(&sql, &lane(), &entries[..20]).await.unwrap().applied, 20);
        server.crash().unwrap();
        let began = Instant::now();
        let outcome = apply(&sql, &lane(), &entries[10..]).await;
        assert!(matches!(outcome, Err(SqlError::Unavailable(_))), "{outcome:?}");
        let refused = Client::postgres(&url).await.map(drop);
        assert!(matches!(refused, Err(SqlError::Unavailable(_))), "{refused:?}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        server.resume().unwrap();
        let sql = Client::postgres(&url).await.unwrap();
        assert_eq!(migrate(&sql).await, Ok(0));
        let outcome = apply(&sql, &lane(), &entries[10..]).await.unwrap();
        assert_eq!((outcome.applied, outcome.repeated, outcome.set_aside), (20, 10, 0));
        assert_eq!(sql.number("SELECT count(*) FROM orders").await, 40);
    });
}
