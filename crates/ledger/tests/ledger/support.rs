//! A private database a test, of either kind, and events as the engine tells them.

use order_ledger::migrate::migrate;
use order_ledger::{Dialect, Entry, Row, Sql, SqlError, Value};
use sale::ids::{Lane, OrderId, ReservationId, Tail};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::Postgres;

/// Runs each named `async fn(&World)` on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { $crate::support::run($crate::support::World::sqlite(), super::$name) })*
        }
        mod postgres {
            $(#[test] fn $name() { $crate::support::run($crate::support::World::postgres(), super::$name) })*
        }
    };
}
pub(crate) use on_both;

/// How long tests let a statement wait for locks.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(300);

/// One empty database of its own.
pub enum World {
    Sqlite(tempfile::TempDir),
    /// A URL of a database on the server that the test binary shares.
    Postgres(String),
}

/// A connection as an ordinary client has it.
pub enum Client {
    Sqlite(Box<rusqlite::Connection>),
    Postgres(tokio_postgres::Client),
}

/// Runs `test` in `world`, on a thread's own runtime.
pub fn run(world: World, test: impl AsyncFn(&World)) {
    runtime().block_on(test(&world));
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl World {
    pub fn sqlite() -> Self {
        World::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        // Its watchdog stops it when this process ends, however it ends.
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let server = SERVER.get_or_init(|| Postgres::start().unwrap());
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let create = async {
            let client = Client::postgres(&server.url("postgres")).await.unwrap();
            client.execute(&format!("CREATE DATABASE {name}"), &[]).await.unwrap();
        };
        runtime().block_on(create);
        World::Postgres(server.url(&name))
    }

    /// A connection to the database as it is.
    pub async fn connect(&self) -> Client {
        match self {
            World::Sqlite(folder) => Client::sqlite(&folder.path().join("ledger.db")),
            World::Postgres(url) => Client::postgres(url).await.unwrap(),
        }
    }

    /// A connection to the database with its tables.
    pub async fn ledger(&self) -> Client {
        let client = self.connect().await;
        migrate(&client).await.unwrap();
        client
    }
}

impl Client {
    pub fn sqlite(path: &std::path::Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(LOCK_PATIENCE).unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        Client::Sqlite(Box::new(connection))
    }

    pub async fn postgres(url: &str) -> Result<Self, SqlError> {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.map_err(postgres_error)?;
        tokio::spawn(connection);
        let client = Client::Postgres(client);
        client.execute(&format!("SET lock_timeout = {}", LOCK_PATIENCE.as_millis()), &[]).await?;
        Ok(client)
    }

    /// The first column of the first row, a whole number.
    pub async fn number(&self, statement: &str) -> i64 {
        self.execute(statement, &[]).await.unwrap()[0].integer(0).unwrap()
    }
}

impl Sql for Client {
    fn dialect(&self) -> Dialect {
        match self {
            Client::Sqlite(_) => Dialect::Sqlite,
            Client::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        match self {
            Client::Sqlite(connection) => execute_sqlite(connection, statement, parameters)
                .map_err(|error| SqlError::from_sqlite(error.to_string())),
            Client::Postgres(client) => execute_postgres(client, statement, parameters).await,
        }
    }
}

fn execute_sqlite(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: &[Value],
) -> rusqlite::Result<Vec<Row>> {
    use rusqlite::types;
    let mut statement = connection.prepare_cached(statement)?;
    let columns = statement.column_count();
    let parameters = parameters.iter().map(|value| match value {
        Value::Null => types::Value::Null,
        Value::Integer(number) => types::Value::Integer(*number),
        Value::Text(text) => types::Value::Text(text.clone()),
    });
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        let value = |column| {
            Ok(match row.get::<_, types::Value>(column)? {
                types::Value::Null => Value::Null,
                types::Value::Integer(number) => Value::Integer(number),
                types::Value::Text(text) => Value::Text(text),
                other => panic!("a value of another type: {other:?}"),
            })
        };
        Ok(Row((0..columns).map(value).collect::<rusqlite::Result<_>>()?))
    })?;
    rows.collect()
}

async fn execute_postgres(
    client: &tokio_postgres::Client,
    statement: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, SqlError> {
    use tokio_postgres::types::{ToSql, Type};
    let parameters: Vec<Box<dyn ToSql + Sync + Send>> = parameters
        .iter()
        .map(|value| -> Box<dyn ToSql + Sync + Send> {
            match value {
                Value::Null => Box::new(None::<String>),
                Value::Integer(number) => Box::new(*number),
                Value::Text(text) => Box::new(text.clone()),
            }
        })
        .collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| &**value as _).collect();
    let rows = client.query(statement, &parameters).await.map_err(postgres_error)?;
    let value = |row: &tokio_postgres::Row, column: usize| match *row.columns()[column].type_() {
        Type::INT8 => row.get::<_, Option<i64>>(column).map_or(Value::Null, Value::Integer),
        Type::INT4 => {
            row.get::<_, Option<i32>>(column).map_or(Value::Null, |number| Value::Integer(number.into()))
        }
        Type::TEXT => row.get::<_, Option<String>>(column).map_or(Value::Null, Value::Text),
        // The type of `SELECT some_function()` when the function returns nothing.
        Type::VOID => Value::Null,
        ref other => panic!("a value of another type: {other}"),
    };
    Ok(rows.iter().map(|row| Row((0..row.len()).map(|column| value(row, column)).collect())).collect())
}

fn postgres_error(error: tokio_postgres::Error) -> SqlError {
    match error.as_db_error() {
        Some(told) => SqlError::from_postgres(told.code().code(), told.message().to_owned()),
        None => SqlError::Unavailable(error.to_string()),
    }
}

/// A lane of an item that no other test has.
pub fn lane() -> Lane {
    "iabcdefghij:0".parse().unwrap()
}

/// The last member of an event that made an order, as an older version told it.
pub const OLDER_DETAILS: &str =
    r#","details":{"contact":"Li Lei 13800138000","address":"上海 1 Long St","note":""}"#;

/// The outbox of one lane: numbers events as the engine does.
#[derive(Clone)]
pub struct Outbox {
    lane: Lane,
    seq: i64,
}

/// An order whose events are told. Its fields are what the events say of it.
#[derive(Clone)]
pub struct Told {
    pub id: OrderId,
    pub user: String,
    pub quantity: i64,
    pub unit_price: i64,
    pub state: &'static str,
    pub attempt: u32,
    pub paid_at: Option<i64>,
}

/// When every order of [`Outbox`] is made, and until when it may be paid.
pub const CREATED_AT: i64 = 1_795_255_200_000;
pub const PAY_BY: i64 = CREATED_AT + 900_000;

impl Outbox {
    pub fn new() -> Self {
        Outbox::after(0)
    }

    /// The outbox of a lane whose last event has this number.
    pub fn after(seq: i64) -> Self {
        Outbox { lane: lane(), seq }
    }

    /// The next event, of `kind`, with further members (each after a comma).
    pub fn event(&mut self, kind: &str, order: &Told, more: &str) -> Entry {
        self.seq += 1;
        let Lane { item, number } = &self.lane;
        let tail = order.id.tail.as_str();
        let mut event = format!(
            r#"{{"seq":{},"type":"{kind}","at":{},"item_id":"{item}","lane":{number},"order_id":"{}","reservation_id":"r-{item}-{number}-{tail}","user_id":"{}","quantity":{},"unit_price":{},"currency":"CNY","state":"{}","pay_by":{PAY_BY}"#,
            self.seq,
            CREATED_AT + self.seq,
            order.id,
            order.user,
            order.quantity,
            order.unit_price,
            order.state,
        );
        if order.attempt > 0 {
            let amount = order.quantity * order.unit_price;
            event.push_str(&format!(
                r#","payment_id":"p-{item}-{number}-{tail}-{}","amount":{amount}"#,
                order.attempt
            ));
        }
        if let Some(paid_at) = order.paid_at {
            event.push_str(&format!(r#","paid_at":{paid_at}"#));
        }
        event.push_str(more);
        event.push('}');
        Entry { id: format!("1795255200000-{}", self.seq), event }
    }

    pub fn created(&mut self, order: &mut Told) -> Entry {
        order.state = "unpaid";
        self.event("order.created", order, "")
    }

    /// The same as an older version told it, with what the shopper wrote.
    pub fn created_by_an_older_version(&mut self, order: &mut Told) -> Entry {
        order.state = "unpaid";
        self.event("order.created", order, OLDER_DETAILS)
    }

    pub fn payment_created(&mut self, order: &mut Told) -> Entry {
        order.attempt += 1;
        self.event("payment.created", order, "")
    }

    pub fn payment_failed(&mut self, order: &Told) -> Entry {
        self.event("payment.failed", order, "")
    }

    /// The event that moves `order` to `state`, whether that is legal or not.
    pub fn moved(&mut self, order: &mut Told, kind: &str, state: &'static str) -> Entry {
        order.state = state;
        if matches!(kind, "order.paid" | "order.refund_due") {
            order.attempt = order.attempt.max(1);
            order.paid_at = Some(if kind == "order.paid" { CREATED_AT + 5_000 } else { PAY_BY + 5_000 });
        }
        self.event(kind, order, "")
    }

    /// An entry that is no event. It has a number nonetheless.
    pub fn rubbish(&mut self, text: &str) -> Entry {
        self.seq += 1;
        Entry { id: format!("1795255200000-{}", self.seq), event: text.to_owned() }
    }
}

impl Told {
    /// Order number `number` of the lane, of user `u-<number>`.
    pub fn new(number: u32) -> Self {
        let tail: Tail = format!("{number:0>12}").parse().unwrap();
        Told {
            id: ReservationId::new(lane(), tail).order(),
            user: format!("u-{number}"),
            quantity: 2,
            unit_price: 9_900,
            state: "unpaid",
            attempt: 0,
            paid_at: None,
        }
    }
}

/// The same text in every run with the same seed: xorshift, good enough to shuffle.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}
