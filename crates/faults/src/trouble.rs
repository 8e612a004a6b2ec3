//! Makes the faults of a plan. Faults of one kind of thing follow each other; those of different things overlap.

use std::path::Path;
use std::time::{Duration, Instant};

use stampede_tests::{Host, Proxy, RedisServer, Weather};

use crate::plan::{At, Fault};

/// How long doubled doorbells are rung, and how often.
const RINGING: Duration = Duration::from_millis(1_500);
const BETWEEN_RINGS: Duration = Duration::from_millis(40);

/// What can break.
pub struct Breakable<'a> {
    pub hosts: [&'a mut Host; 2],
    pub redis: &'a mut RedisServer,
    pub way_to_redis: &'a Proxy,
    /// In front of PostgreSQL; nothing in front of SQLite.
    pub way_to_database: Option<&'a Proxy>,
    pub state: &'a Path,
    /// The lane, as doorbells carry it.
    pub lane: String,
}

/// Makes all faults in time, and heals each.
pub async fn make(faults: &[At<Fault>], begun: Instant, breakable: Breakable<'_>) {
    let of = |wanted: fn(&Fault) -> bool| -> Vec<At<Fault>> {
        faults.iter().filter(|fault| wanted(&fault.what)).cloned().collect()
    };
    let Breakable { hosts: [first, second], redis, way_to_redis, way_to_database, state, lane } = breakable;
    let first_host = of(|fault| matches!(fault, Fault::KillHost(0) | Fault::StopHost(0, _)));
    let second_host = of(|fault| matches!(fault, Fault::KillHost(1) | Fault::StopHost(1, _)));
    let server = of(|fault| {
        use Fault::{DoubleDoorbells, FillDisk, FlushScripts, KillRedis, LoseDoorbells, StopRedis};
        matches!(
            fault,
            KillRedis | StopRedis(_) | FillDisk(_) | FlushScripts | LoseDoorbells | DoubleDoorbells
        )
    });
    let network =
        of(|fault| matches!(fault, Fault::CutRedis(_) | Fault::SlowRedis { .. } | Fault::HangRedis(_)));
    let database =
        of(|fault| matches!(fault, Fault::HangDatabase(_) | Fault::CutDatabase(_) | Fault::EmptyKeyValue));
    tokio::join!(
        break_host(&first_host, begun, first),
        break_host(&second_host, begun, second),
        break_redis(&server, begun, redis, &lane),
        break_network(&network, begun, way_to_redis),
        break_stores(&database, begun, way_to_database, state),
    );
}

async fn until(fault: &At<Fault>, begun: Instant) {
    tokio::time::sleep(fault.at.saturating_sub(begun.elapsed())).await;
}

async fn break_host(faults: &[At<Fault>], begun: Instant, host: &mut Host) {
    for fault in faults {
        until(fault, begun).await;
        match fault.what {
            Fault::StopHost(_, lasts) => {
                host.freeze();
                tokio::time::sleep(lasts).await;
                host.go_on();
            }
            _ => host.restart().await,
        }
    }
}

async fn break_redis(faults: &[At<Fault>], begun: Instant, redis: &mut RedisServer, lane: &str) {
    for fault in faults {
        until(fault, begun).await;
        match fault.what {
            Fault::KillRedis => redis.restart().await,
            Fault::StopRedis(lasts) => {
                redis.freeze();
                tokio::time::sleep(lasts).await;
                redis.go_on();
            }
            Fault::FillDisk(lasts) => {
                redis.fill_disk();
                tokio::time::sleep(lasts).await;
                redis.empty_disk_and_go_on().await;
            }
            Fault::FlushScripts => redis.command(&["SCRIPT", "FLUSH"]).await,
            Fault::LoseDoorbells => {
                let _: i64 = redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            }
            Fault::DoubleDoorbells => ring_again_and_again(redis, lane).await,
            _ => {}
        }
    }
}

async fn ring_again_and_again(redis: &RedisServer, lane: &str) {
    let (item, number) = lane.split_once(':').expect("a lane is item and number");
    let alarm = format!("{{{item}:{number}}}:alarm");
    let begun = Instant::now();
    while begun.elapsed() < RINGING {
        for (channel, message) in [
            ("stampede:grant", lane),
            ("stampede:ledger", lane),
            ("__keyevent@0__:expired", alarm.as_str()),
            ("stampede:grant", ""),
            ("stampede:ledger", ""),
        ] {
            let _: i64 = redis.command(&["PUBLISH", channel, message]).await;
        }
        tokio::time::sleep(BETWEEN_RINGS).await;
    }
}

async fn break_network(faults: &[At<Fault>], begun: Instant, proxy: &Proxy) {
    for fault in faults {
        until(fault, begun).await;
        let (weather, lasts) = match fault.what {
            Fault::CutRedis(lasts) => (Weather::Cut, lasts),
            Fault::SlowRedis { late, lasts } => (Weather::Slow(late), lasts),
            Fault::HangRedis(lasts) => (Weather::Silent, lasts),
            _ => continue,
        };
        proxy.set(weather);
        tokio::time::sleep(lasts).await;
        proxy.set(Weather::Fine);
    }
}

async fn break_stores(faults: &[At<Fault>], begun: Instant, postgres: Option<&Proxy>, state: &Path) {
    for fault in faults {
        until(fault, begun).await;
        match (fault.what, postgres) {
            (Fault::EmptyKeyValue, _) => empty_key_value(&state.join("sqlite_key_value.db")),
            (Fault::HangDatabase(lasts), Some(proxy)) => {
                proxy.set(Weather::Silent);
                tokio::time::sleep(lasts).await;
                proxy.set(Weather::Fine);
            }
            (Fault::CutDatabase(lasts), Some(proxy)) => {
                proxy.set(Weather::Cut);
                tokio::time::sleep(lasts).await;
                proxy.set(Weather::Fine);
            }
            (Fault::HangDatabase(lasts), None) => {
                let lock = lock(&state.join("sqlite_db.db"));
                tokio::time::sleep(lasts).await;
                drop(lock);
            }
            _ => {}
        }
    }
}

/// Holds SQLite's write lock; nothing where the database is not there yet or is busy all the time.
fn lock(file: &Path) -> Option<rusqlite::Connection> {
    let connection = open(file)?;
    connection.execute_batch("BEGIN EXCLUSIVE").ok()?;
    Some(connection)
}

fn empty_key_value(file: &Path) {
    if let Some(connection) = open(file) {
        // A store that is busy at the moment is emptied by a later seed.
        let _ = connection.execute("DELETE FROM spin_key_value", []);
    }
}

fn open(file: &Path) -> Option<rusqlite::Connection> {
    let connection =
        rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    connection.busy_timeout(Duration::from_millis(500)).ok()?;
    Some(connection)
}
