//! The platform's databases as [`Sql`]: `spin:sqlite` and `spin:postgres`.
//!
//! An instance opens its database once and shares the connection among its requests. After a failure it drops the
//! connection, and the next caller opens another. Every call ends within seconds, even if the database hangs; a call by a
//! worker within 400 ms.

use crate::copy::CopyError;
use crate::migrate::{MigrateError, is_up_to_date, migrate};
use crate::sql::{Dialect, Row, Sql, SqlError, Value};
use spin_sdk::pg::{self, DbValue, ParameterValue, PgError, QueryError};
use spin_sdk::sqlite;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use web::Problem;
use web::platform::settings;

/// How long a function waits for the order database.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// The longest that one call takes.
    call: Duration,
    /// How long a statement waits for a lock, in milliseconds. Less than `call`, so that the database itself ends the
    /// statement and says why.
    lock_ms: u32,
}

/// How long PostgreSQL works on one statement, in milliseconds. It may finish a statement for which a worker no longer
/// waits; the worker then finds the statement's effect when it tries again.
const STATEMENT_TIMEOUT_MS: u32 = 2_500;

/// How long PostgreSQL works on migrations, in milliseconds. One may have to change every order.
const MIGRATION_TIMEOUT_MS: u32 = 600_000;

/// For a request, because a shopper or an operator waits for it.
const OF_REQUESTS: Patience = Patience { call: Duration::from_secs(3), lock_ms: 1_000 };
/// For a worker that Spin calls for one message after the other: meanwhile no other worker is called.
const OF_WORKERS: Patience = Patience { call: Duration::from_millis(400), lock_ms: 250 };

/// For the first call after an update, which may have to change every order.
const OF_MIGRATIONS: Patience = Patience { call: Duration::from_secs(60), lock_ms: 1_000 };

/// How long a worker does not ask a database again that did not reply.
const HANG_REMEMBERED: Duration = Duration::from_secs(2);

thread_local! {
    static SHARED: RefCell<Option<Database>> = const { RefCell::new(None) };
    /// When this instance last waited for a reply in vain.
    static HUNG: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// An open order database with its tables in place. Clones share the connection.
#[derive(Clone)]
pub struct Database {
    connection: Rc<Connection>,
    patience: Patience,
}

enum Connection {
    Sqlite(sqlite::Connection),
    Postgres(pg::Connection),
}

/// Opens the order database that the setting `ledger` names, `sqlite` or a `postgres://` URL, and brings its tables up
/// to date. The first call in an instance connects; later calls return the same connection.
pub async fn open() -> Result<Database, Problem> {
    Ok(shared(&settings::text(settings::LEDGER).await?, OF_REQUESTS).await?)
}

/// The same for a worker that handles messages. Its calls end soon if the database hangs. For a while this instance then
/// reports the database as unavailable without asking it.
pub async fn open_for_worker() -> Result<Database, Problem> {
    if HUNG.get().is_some_and(|hung| hung.elapsed() < HANG_REMEMBERED) {
        return Err(SqlError::Unavailable("it did not reply a moment ago".to_owned()).into());
    }
    Ok(shared(&settings::text(settings::LEDGER).await?, OF_WORKERS).await?)
}

/// A database that fails is `unavailable`: the shopper hears that a retry is safe, the log hears the cause.
impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        Problem::unavailable(error)
    }
}

impl From<CopyError> for Problem {
    fn from(error: CopyError) -> Self {
        Problem::unavailable(error)
    }
}

async fn shared(setting: &str, patience: Patience) -> Result<Database, SqlError> {
    if let Some(database) = SHARED.with_borrow(Clone::clone) {
        return Ok(database);
    }
    let connection = Rc::new(bounded(patience.call, connect(setting, patience)).await?);
    let database = Database { connection, patience };
    migrate_patiently(&database).await?;
    // The connection is shared only now, because migrating needs one of its own.
    SHARED.with_borrow_mut(|shared| *shared = Some(database.clone()));
    Ok(database)
}

/// Brings the tables up to date. That takes longer than other calls may, and happens once.
///
/// If this instance ends meanwhile, PostgreSQL still finishes, and the next instance finds the tables as they should be.
async fn migrate_patiently(database: &Database) -> Result<(), SqlError> {
    let database = Database { connection: database.connection.clone(), patience: OF_MIGRATIONS };
    let set_timeout = async |millis: u32| {
        if database.dialect() == Dialect::Postgres {
            database.execute(&format!("SET statement_timeout = {millis}"), &[]).await?;
        }
        Ok::<_, SqlError>(())
    };
    let cause = |error| match error {
        MigrateError::Sql(error) => error,
        changed => SqlError::Misunderstood(changed.to_string()),
    };
    if is_up_to_date(&database).await.map_err(cause)? {
        return Ok(());
    }
    set_timeout(MIGRATION_TIMEOUT_MS).await?;
    let migrated = migrate(&database).await;
    set_timeout(STATEMENT_TIMEOUT_MS).await?;
    migrated.map(drop).map_err(cause)
}

impl Sql for Database {
    fn dialect(&self) -> Dialect {
        match *self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        let timeout = self.patience.call;
        let outcome = match &*self.connection {
            Connection::Sqlite(connection) => {
                bounded(timeout, execute_sqlite(connection, statement, parameters)).await
            }
            Connection::Postgres(connection) => {
                bounded(timeout, execute_postgres(connection, statement, parameters)).await
            }
        };
        if let Err(SqlError::Unavailable(_)) = outcome {
            self.forget();
        }
        outcome
    }
}

impl Database {
    fn forget(&self) {
        SHARED.with_borrow_mut(|shared| {
            if shared.as_ref().is_some_and(|database| Rc::ptr_eq(&database.connection, &self.connection)) {
                *shared = None;
            }
        });
    }
}

async fn connect(setting: &str, patience: Patience) -> Result<Connection, SqlError> {
    if setting == "sqlite" {
        let connection = sqlite::Connection::open_default().await.map_err(sqlite_error)?;
        for pragma in [
            format!("PRAGMA busy_timeout = {}", patience.lock_ms),
            "PRAGMA foreign_keys = ON".to_owned(),
            // Overwrites what is erased. Otherwise its bytes would stay in the file until something else needs them.
            "PRAGMA secure_delete = ON".to_owned(),
        ] {
            execute_sqlite(&connection, &pragma, &[]).await?;
        }
        return Ok(Connection::Sqlite(connection));
    }
    if !setting.starts_with("postgres://") && !setting.starts_with("postgresql://") {
        let reason = "the setting ledger is neither sqlite nor a postgres:// URL";
        return Err(SqlError::Misunderstood(reason.to_owned()));
    }
    let connection = pg::Connection::open(with_connect_timeout(setting)).await.map_err(postgres_error)?;
    for (timeout, millis) in [("lock_timeout", patience.lock_ms), ("statement_timeout", STATEMENT_TIMEOUT_MS)]
    {
        execute_postgres(&connection, &format!("SET {timeout} = {millis}"), &[]).await?;
    }
    Ok(Connection::Postgres(connection))
}

/// The URL with a timeout for connecting, unless it has one.
fn with_connect_timeout(url: &str) -> String {
    if url.contains("connect_timeout=") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}connect_timeout={}", OF_REQUESTS.call.as_secs())
}

async fn execute_sqlite(
    connection: &sqlite::Connection,
    statement: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, SqlError> {
    let parameters = parameters.iter().map(|value| match value {
        Value::Null => sqlite::Value::Null,
        Value::Integer(number) => sqlite::Value::Integer(*number),
        Value::Text(text) => sqlite::Value::Text(text.clone()),
    });
    let result = connection.execute(statement, parameters).await.map_err(sqlite_error)?;
    let rows = result.collect().await.map_err(sqlite_error)?;
    rows.into_iter()
        .map(|row| {
            let values = row.values.into_iter().map(|value| match value {
                sqlite::Value::Null => Ok(Value::Null),
                sqlite::Value::Integer(number) => Ok(Value::Integer(number)),
                sqlite::Value::Text(text) => Ok(Value::Text(text)),
                sqlite::Value::Real(_) | sqlite::Value::Blob(_) => Err(unknown_type()),
            });
            Ok(Row(values.collect::<Result<_, _>>()?))
        })
        .collect()
}

async fn execute_postgres(
    connection: &pg::Connection,
    statement: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, SqlError> {
    let parameters: Vec<ParameterValue> = parameters
        .iter()
        .map(|value| match value {
            Value::Null => ParameterValue::DbNull,
            Value::Integer(number) => ParameterValue::Int64(*number),
            Value::Text(text) => ParameterValue::Str(text.clone()),
        })
        .collect();
    let mut result = connection.query(statement, parameters).await.map_err(postgres_error)?;
    let mut rows = Vec::new();
    while let Some(row) = result.rows().next().await {
        let values = row.into_iter().map(|value| match value {
            DbValue::DbNull => Ok(Value::Null),
            DbValue::Int32(number) => Ok(Value::Integer(number.into())),
            DbValue::Int64(number) => Ok(Value::Integer(number)),
            DbValue::Str(text) => Ok(Value::Text(text)),
            _ => Err(unknown_type()),
        });
        rows.push(Row(values.collect::<Result<_, _>>()?));
    }
    result.result().await.map_err(postgres_error)?;
    Ok(rows)
}

fn sqlite_error(error: sqlite::Error) -> SqlError {
    match error {
        sqlite::Error::Io(text) => SqlError::from_sqlite(text),
        sqlite::Error::NoSuchDatabase => {
            SqlError::Misunderstood("the platform has no such database".to_owned())
        }
        sqlite::Error::AccessDenied => SqlError::Misunderstood("the manifest does not grant it".to_owned()),
        sqlite::Error::InvalidConnection => SqlError::Unavailable("the connection is closed".to_owned()),
        sqlite::Error::DatabaseFull => SqlError::Unavailable("it is full".to_owned()),
    }
}

/// The error's message. Its details are left out, because they quote rows; so is the URL, which may hold a password.
fn postgres_error(error: pg::Error) -> SqlError {
    match error {
        pg::Error::PgError(PgError::QueryFailed(QueryError::DbError(error))) => {
            SqlError::from_postgres(&error.code, error.message)
        }
        pg::Error::PgError(PgError::QueryFailed(QueryError::Text(text)) | PgError::Other(text)) => {
            SqlError::Unavailable(text)
        }
        pg::Error::PgError(PgError::ConnectionFailed(_)) => {
            SqlError::Unavailable("no connection to PostgreSQL".to_owned())
        }
        pg::Error::PgError(PgError::BadParameter(text) | PgError::ValueConversionFailed(text))
        | pg::Error::Decode(text) => SqlError::Misunderstood(text),
    }
}

fn unknown_type() -> SqlError {
    SqlError::Misunderstood("the database returned a value of an unknown type".to_owned())
}

/// Waits for `work`, at most `longest`.
async fn bounded<T>(
    longest: Duration,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    let mut work = pin!(work);
    let mut timeout = pin!(spin_sdk::time::sleep(longest));
    poll_fn(|context| {
        if let Poll::Ready(outcome) = work.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        timeout.as_mut().poll(context).map(|()| {
            HUNG.set(Some(Instant::now()));
            Err(SqlError::Unavailable(format!("no reply in {} ms", longest.as_millis())))
        })
    })
    .await
}
