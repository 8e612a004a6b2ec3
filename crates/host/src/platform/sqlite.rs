//! `spin:sqlite`: named databases, each an SQLite file.
//!
//! A guest's handle has a connection of its own until it is dropped, so a transaction belongs to one handle. The
//! statements of one handle run one after the other, on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, ToSql};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::spawn_blocking;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use crate::bindings::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use crate::state::{Platform, State};

/// How long a statement waits for the write lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many idle connections to a database stay open for the next handle.
const IDLE_CONNECTIONS: usize = 8;

/// A database and its idle connections.
pub struct Database {
    path: PathBuf,
    idle: Mutex<Vec<rusqlite::Connection>>,
}

impl Database {
    /// Opens the file, or makes it. A wrong path is an error here, at start.
    pub fn open(path: &Path) -> anyhow::Result<Arc<Self>> {
        let database = Self { path: path.to_owned(), idle: Mutex::default() };
        let connection =
            database.connect().with_context(|| format!("can't open the database {}", path.display()))?;
        database.idle().push(connection);
        Ok(Arc::new(database))
    }

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        let mut connection = rusqlite::Connection::open(&self.path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // With WAL, readers never wait for a writer, and a committed transaction survives a crash of the host.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.authorizer(Some(stay_in_the_file))?;
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<rusqlite::Connection>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lease(self: &Arc<Self>) -> rusqlite::Result<Lease> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        Ok(Lease { database: self.clone(), connection: Some(connection), altered: false })
    }
}

/// Denies ATTACH, and with it VACUUM INTO, which attaches a file internally. With these, a guest could open any file of
/// the host.
fn stay_in_the_file(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Attach { filename } if !filename.is_empty() => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

/// A connection that a guest's handle uses.
struct Lease {
    database: Arc<Database>,
    connection: Option<rusqlite::Connection>,
    /// Whether the guest changed the connection's settings or temporary tables. Then no other handle may get it.
    altered: bool,
}

impl Drop for Lease {
    /// Keeps the connection for the next handle, or closes it. Closing rolls back an open transaction.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut idle = self.database.idle();
        if connection.is_autocommit() && !self.altered && idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
    }
}

/// A guest's handle.
#[derive(Clone)]
pub struct Connection(Arc<AsyncMutex<Lease>>);

impl Connection {
    async fn open(database: Arc<Database>) -> Result<Self, Error> {
        let lease = spawn_blocking(move || database.lease()).await.map_err(io)?.map_err(error)?;
        Ok(Self(Arc::new(AsyncMutex::new(lease))))
    }

    /// Runs `work` with the connection, after the statements that the handle already runs.
    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Lease) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let mut lease = self.0.clone().lock_owned().await;
        spawn_blocking(move || work(&mut lease)).await.map_err(io)?
    }

    async fn query(&self, statement: String, parameters: Vec<Value>) -> Result<QueryResult, Error> {
        self.run(move |lease| {
            lease.altered |= alters_connection(&statement);
            let connection = lease.connection.as_ref().ok_or(Error::InvalidConnection)?;
            query(connection, &statement, &parameters).map_err(error)
        })
        .await
    }

    async fn changes(&self) -> Result<u64, Error> {
        self.run(|lease| Ok(lease.connection.as_ref().map_or(0, rusqlite::Connection::changes))).await
    }

    async fn last_insert_rowid(&self) -> Result<i64, Error> {
        self.run(|lease| Ok(lease.connection.as_ref().map_or(0, rusqlite::Connection::last_insert_rowid)))
            .await
    }
}

/// Whether a statement may change something that stays with the connection: settings or temporary tables.
fn alters_connection(statement: &str) -> bool {
    let upper = statement.to_ascii_uppercase();
    upper.contains("PRAGMA") || upper.contains("TEMP") || upper.contains("ATTACH")
}

fn query(
    connection: &rusqlite::Connection,
    statement: &str,
    parameters: &[Value],
) -> rusqlite::Result<QueryResult> {
    let mut statement = connection.prepare_cached(statement)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut found = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values =
            (0..columns.len()).map(|index| row.get_ref(index).map(value)).collect::<Result<_, _>>()?;
        rows.push(RowResult { values });
    }
    Ok(QueryResult { columns, rows })
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Null => ValueRef::Null,
        }))
    }
}

fn error(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::DatabaseFull,
        _ => Error::Io(error.to_string()),
    }
}

fn io(error: tokio::task::JoinError) -> Error {
    Error::Io(error.to_string())
}

impl State {
    /// The database, if the component was granted it.
    fn database(&self, name: &str) -> Result<Arc<Database>, Error> {
        // Databases are resolved at start, so a granted one always exists.
        self.component.sqlite_databases.get(name).cloned().ok_or(Error::AccessDenied)
    }

    fn sqlite(&self, connection: &Resource<Connection>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(connection)?.clone())
    }

    fn push_sqlite(&mut self, connection: Connection) -> Result<Resource<Connection>, Error> {
        self.table.push(connection).map_err(|_| Error::Io("too many connections opened".to_owned()))
    }
}

impl Host for State {}

/// The blocking functions, which hold up their whole instance. The SDK uses the asynchronous ones below.
impl HostConnection for State {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let database = match self.database(&name) {
            Ok(database) => database,
            Err(error) => return Ok(Err(error)),
        };
        let opened = Connection::open(database).await;
        Ok(opened.and_then(|connection| self.push_sqlite(connection)))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        Ok(self.sqlite(&connection)?.query(statement, parameters).await)
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> wasmtime::Result<i64> {
        Ok(self.sqlite(&connection)?.last_insert_rowid().await?)
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        Ok(self.sqlite(&connection)?.changes().await?)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type Rows = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl<T: Send> HostConnectionWithStore<T> for Platform {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let database = match accessor.with(|mut access| access.get().database(&name)) {
            Ok(database) => database,
            Err(error) => return Ok(Err(error)),
        };
        let opened = Connection::open(database).await;
        Ok(opened.and_then(|connection| accessor.with(|mut access| access.get().push_sqlite(connection))))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let connection = accessor.with(|mut access| access.get().sqlite(&connection))?;
        let result = match connection.query(statement, parameters).await {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, result.rows)?;
            // All rows are already in memory, so the stream can't fail.
            let outcome = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok(Ok((result.columns, rows, outcome)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<i64> {
        let connection = accessor.with(|mut access| access.get().sqlite(&connection))?;
        Ok(connection.last_insert_rowid().await?)
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<u64> {
        let connection = accessor.with(|mut access| access.get().sqlite(&connection))?;
        Ok(connection.changes().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[Value]) -> String {
        format!("{values:?}")
    }

    #[tokio::test]
    async fn a_transaction_belongs_to_one_handle_and_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db")).unwrap();
        let one = Connection::open(database.clone()).await.unwrap();
        one.query("CREATE TABLE t (x)".into(), vec![]).await.unwrap();
        one.query("BEGIN IMMEDIATE".into(), vec![]).await.unwrap();
        one.query("INSERT INTO t VALUES (?)".into(), vec![Value::Integer(7)]).await.unwrap();
        assert_eq!((one.changes().await.unwrap(), one.last_insert_rowid().await.unwrap()), (1, 1));

        let other = Connection::open(database.clone()).await.unwrap();
        let count = other.query("SELECT count(*) FROM t".into(), vec![]).await.unwrap();
        assert_eq!(text(&count.rows[0].values), "[Value::Integer(0)]");
        drop(one);
        // Dropping the handle releases its lock. Otherwise this would wait for the busy timeout and fail.
        other.query("INSERT INTO t VALUES (8)".into(), vec![]).await.unwrap();
        let rows = other.query("SELECT x FROM t".into(), vec![]).await.unwrap();
        assert_eq!((rows.columns, rows.rows.len()), (vec!["x".to_owned()], 1));
    }

    #[tokio::test]
    async fn values_of_all_kinds_come_back_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db")).unwrap();
        let connection = Connection::open(database).await.unwrap();
        let values = vec![
            Value::Integer(i64::MIN),
            Value::Real(0.25),
            Value::Text("价".into()),
            Value::Blob(vec![0, 255]),
            Value::Null,
        ];
        let expected = text(&values);
        let result = connection.query("SELECT ?, ?, ?, ?, ?".into(), values).await.unwrap();
        assert_eq!(text(&result.rows[0].values), expected);
    }

    #[tokio::test]
    async fn a_guest_can_not_open_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db")).unwrap();
        let connection = Connection::open(database).await.unwrap();
        let other = folder.path().join("b.db");
        for statement in
            [format!("ATTACH '{}' AS b", other.display()), format!("VACUUM INTO '{}'", other.display())]
        {
            assert!(connection.query(statement, vec![]).await.is_err());
        }
        assert!(!other.exists());
        connection.query("VACUUM".into(), vec![]).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_altered_is_not_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("a.db")).unwrap();
        let connection = Connection::open(database.clone()).await.unwrap();
        connection.query("CREATE TEMP TABLE t (x)".into(), vec![]).await.unwrap();
        drop(connection);
        let next = Connection::open(database).await.unwrap();
        assert!(next.query("SELECT * FROM t".into(), vec![]).await.is_err());
    }
}
