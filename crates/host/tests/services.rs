//! Redis, key-value, SQLite and PostgreSQL, as a guest sees them.

use std::time::{Duration, Instant};

use testkit::{Postgres, free_port};

use crate::support::{Application, Host, Redis, eventually};

fn with_redis(redis: &Redis, options: &[&str]) -> Host {
    Application::web(&format!("allowed_outbound_hosts = [\"{}\"]", redis.url())).with(options).start()
}

#[test]
fn redis_replies_are_flat_and_errors_keep_the_text_of_the_server() {
    let redis = Redis::start();
    let host = with_redis(&redis, &[]);
    let replies = host.lines(
        "/redis",
        &[
            &redis.url(),
            "SET k v",
            "GET k",
            "GET none",
            "INCR n",
            "RPUSH l a b",
            "EVAL return{1,{'x',{2}},false} 0",
            "EVALSHA 0000000000000000000000000000000000000000 0",
            "LPUSH k v",
            "NOSUCHCOMMAND",
        ],
    );
    assert_eq!(replies[0], "Ok([RedisResult::Status(\"OK\")])");
    assert_eq!(replies[1], "Ok([RedisResult::Binary([118])])");
    assert_eq!(replies[2], "Ok([RedisResult::Nil])");
    assert_eq!(replies[3], "Ok([RedisResult::Int64(1)])");
    assert_eq!(replies[4], "Ok([RedisResult::Int64(2)])");
    assert_eq!(
        replies[5],
        "Ok([RedisResult::Int64(1), RedisResult::Binary([120]), RedisResult::Int64(2), RedisResult::Nil])"
    );
    assert!(replies[6].starts_with("Err(Error::Other(\"NOSCRIPT No matching script"), "{}", replies[6]);
    assert!(replies[7].starts_with("Err(Error::Other(\"WRONGTYPE "), "{}", replies[7]);
    assert!(replies[8].starts_with("Err(Error::Other(\"ERR "), "{}", replies[8]);
}

#[test]
fn a_transaction_or_a_blocking_command_does_not_disturb_other_requests() {
    let redis = Redis::start();
    let host = with_redis(&redis, &["--redis-connections", "1"]);
    let url = redis.url();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.lines("/redis", &[&url, "BLPOP bell 20"]));
        eventually("it waits", || {
            redis.command(&["INFO", "clients"]).contains("blocked_clients:1").then_some(())
        });
        let replies = host.lines("/redis", &[&url, "MULTI", "SET a 1", "INCR a", "EXEC"]);
        assert_eq!(replies[3], "Ok([RedisResult::Status(\"OK\"), RedisResult::Int64(2)])", "{replies:?}");
        let others = host.lines("/redis", &[&url, "GET a"]);
        assert_eq!(others, ["Ok([RedisResult::Binary([50])])"]);
        redis.command(&["RPUSH", "bell", "x"]);
        assert!(waiting.join().unwrap()[0].starts_with("Ok("));
    });
}

#[test]
fn instances_share_the_connections_to_redis() {
    let redis = Redis::start();
    let host = with_redis(&redis, &["--redis-connections", "2", "--max-instance-reuse-count", "1"]);
    for _ in 0..20 {
        assert!(host.text(&format!("/script?{}", redis.url())).contains("Int64"));
    }
    let clients = redis.command(&["CLIENT", "LIST"]).lines().count();
    assert!(clients <= 3, "{clients} clients, one of which is this test");
}

#[test]
fn commands_fail_fast_while_redis_is_away_and_work_when_it_is_back() {
    let mut redis = Redis::start();
    let host = with_redis(&redis, &[]);
    let url = redis.url();
    assert_eq!(host.lines("/redis", &[&url, "SET a 1"]), ["Ok([RedisResult::Status(\"OK\")])"]);
    redis.stop();
    for _ in 0..5 {
        let start = Instant::now();
        let reply = host.post("/redis", &format!("{url}\nGET a"));
        assert!(reply.starts_with("Err(Error::Other("), "{reply}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    redis.resume();
    eventually("commands work again", || {
        let reply = host.post("/redis", &format!("{url}\nGET a"));
        (reply == "Ok([RedisResult::Binary([49])])").then_some(())
    });
}

#[test]
fn a_command_to_a_redis_that_hangs_fails_after_the_timeout() {
    let redis = Redis::start();
    let host = with_redis(&redis, &["--redis-timeout", "300ms"]);
    let url = redis.url();
    host.lines("/redis", &[&url, "SET a 1"]);
    // Redis replies to nobody for three seconds.
    redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]);
    let start = Instant::now();
    let reply = host.post("/redis", &format!("{url}\nGET a"));
    assert!(reply.starts_with("Err(Error::Other("), "{reply}");
    assert!(
        (Duration::from_millis(250)..Duration::from_millis(2500)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    eventually("commands work again", || {
        (host.post("/redis", &format!("{url}\nGET a")) == "Ok([RedisResult::Binary([49])])").then_some(())
    });
}

const KEY_VALUE: [&str; 11] = [
    "default", "get a", "set a 1", "set b 2", "get a", "set a 3", "get a", "exists a", "delete a",
    "exists a", "keys",
];
const KEY_VALUE_RESULTS: [&str; 10] = [
    "Ok(None)",
    "Ok(())",
    "Ok(())",
    "Ok(Some(\"1\"))",
    "Ok(())",
    "Ok(Some(\"3\"))",
    "Ok(true)",
    "Ok(())",
    "Ok(false)",
    "[\"b\"]",
];

#[test]
fn key_value_pairs_in_a_file_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        Application::web("key_value_stores = [\"default\"]")
            .with(&["--state-dir", state.path().to_str().unwrap()])
            .start()
    };
    assert_eq!(start().lines("/kv", &KEY_VALUE), KEY_VALUE_RESULTS);
    assert_eq!(start().lines("/kv", &["default", "get b"]), ["Ok(Some(\"2\"))"]);
    assert!(state.path().join("sqlite_key_value.db").exists());
}

#[test]
fn key_value_on_redis_behaves_the_same() {
    let redis = Redis::start();
    let application = Application::web("key_value_stores = [\"default\"]").file(
        "runtime.toml",
        &format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{}\"\n", redis.url()),
    );
    let file = application.folder.path().join("runtime.toml");
    let host = application.with(&["--runtime-config", file.to_str().unwrap()]).start();
    assert_eq!(host.lines("/kv", &KEY_VALUE), KEY_VALUE_RESULTS);
    assert_eq!(redis.command(&["GET", "b"]), "2");
}

#[test]
fn a_transaction_in_sqlite_belongs_to_one_handle() {
    let host = Application::web("sqlite_databases = [\"default\"]").start();
    let created = host.lines("/sqlite", &["default", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (2)"]);
    assert_eq!(created, ["Ok([])", "Ok([])", "changes 2"]);
    std::thread::scope(|scope| {
        // The slow transaction holds the write lock while the other one asks for it.
        let slow = scope.spawn(|| {
            host.lines(
                "/sqlite",
                &["default", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (3)", "sleep 800", "COMMIT"],
            )
        });
        std::thread::sleep(Duration::from_millis(300));
        let seen = host.lines("/sqlite", &["default", "SELECT count(*) FROM t"]);
        assert_eq!(seen[0], "Ok([[Value::Integer(2)]])");
        let written =
            host.lines("/sqlite", &["default", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (4)", "COMMIT"]);
        assert_eq!(written, ["Ok([])", "Ok([])", "Ok([])", "changes 1"]);
        assert_eq!(slow.join().unwrap(), ["Ok([])", "Ok([])", "Ok([])", "changes 1"]);
    });
    // A transaction that is still open is rolled back when its handle is dropped.
    host.lines("/sqlite", &["default", "BEGIN", "DELETE FROM t"]);
    assert_eq!(host.lines("/sqlite", &["default", "SELECT count(*) FROM t"])[0], "Ok([[Value::Integer(4)]])");
    let wrong = host.lines("/sqlite", &["default", "SELECT nothing", "ATTACH 'x.db' AS x"]);
    assert!(wrong[0].contains("Error::Io") && wrong[1].contains("not authorized"), "{wrong:?}");
}

#[test]
fn postgres_carries_values_transactions_and_errors() {
    let postgres = Postgres::start().unwrap();
    let host =
        Application::web(&format!("allowed_outbound_hosts = [\"postgres://127.0.0.1:{}\"]", postgres.port()))
            .start();
    let url = postgres.url("postgres");
    let values = host.text(&format!("/postgres-values?{url}"));
    for expected in [
        "DbValue::Str(\"价\")",
        "DbValue::Int64(-7)",
        "DbValue::Boolean(true)",
        "DbValue::Jsonb([123, 34, 97, 34, 58, 32, 49, 125])",
        "DbValue::Floating64(0.25)",
        "DbValue::Binary([0, 255])",
        "DbValue::Datetime((2026, 11, 21, 10, 0, 0, 123000000))",
        "DbValue::Datetime((2000, 2, 29, 0, 0, 0, 0))",
        "DbValue::DbNull",
    ] {
        assert!(values.contains(expected), "{expected} in {values}");
    }

    let done = host.lines(
        "/postgres",
        &[
            &url,
            "CREATE TABLE t (x int8 PRIMARY KEY)",
            "BEGIN",
            "INSERT INTO t VALUES (1), (2)",
            "COMMIT",
            "SELECT count(*) FROM t",
            "INSERT INTO t VALUES (1)",
            "SELECT 1.50::numeric, '[1,5)'::int4range, ARRAY[1,NULL]::int8[], '2 days'::interval, '10.0.0.1'::inet",
        ],
    );
    assert_eq!(done[4], "[DbValue::Int64(2)]");
    assert!(done[5].contains("23505") && done[5].contains("t_pkey"), "{}", done[5]);
    assert!(
        done[6].contains("DbValue::Decimal(\"1.50\")") && done[6].contains("DbValue::Unsupported"),
        "{}",
        done[6]
    );
    assert!(done[6].contains(
        "RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((5, RangeBoundKind::Exclusive))))"
    ));
    assert!(done[6].contains("ArrayInt64([Some(1), None])"), "{}", done[6]);

    // A transaction that is still open is rolled back when its handle is dropped. The next handle does not see it.
    host.lines("/postgres", &[&url, "BEGIN", "DELETE FROM t"]);
    assert_eq!(host.lines("/postgres", &[&url, "SELECT count(*) FROM t"]), ["[DbValue::Int64(2)]"]);

    let away = host.post("/postgres", &format!("postgres://shop@127.0.0.1:{}/postgres", free_port()));
    assert!(away.contains("not permitted"), "{away}");
    drop(postgres);
    let gone = host.post("/postgres", &url);
    assert!(gone.contains("ConnectionFailed") || gone.contains("QueryFailed") || gone.is_empty(), "{gone}");
    let gone = host.post("/postgres", &format!("{url}\nSELECT 1"));
    assert!(gone.contains("Failed"), "{gone}");
}
