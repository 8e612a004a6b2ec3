//! The order database of a run: SQLite in memory.

use order_ledger::{Dialect, Row, Sql, SqlError, Value};
use rusqlite::types;
use std::cell::Cell;

use crate::redis::now;

/// A database with the tables of the ledger, which may be told to be unreachable.
pub struct Database {
    connection: rusqlite::Connection,
    gone: Cell<bool>,
}

impl Database {
    /// An empty database.
    pub fn open() -> anyhow::Result<Database> {
        let connection = rusqlite::Connection::open_in_memory()?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        let database = Database { connection, gone: Cell::new(false) };
        now(order_ledger::migrate::migrate(&database))?;
        Ok(database)
    }

    /// Whether every statement fails from now on, as with a server that is away.
    pub fn set_gone(&self, gone: bool) {
        self.gone.set(gone);
    }

    fn query(&self, statement: &str, parameters: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(statement)?;
        let columns = statement.column_count();
        let parameters = parameters.iter().map(|value| match value {
            Value::Null => types::Value::Null,
            Value::Integer(number) => types::Value::Integer(*number),
            Value::Text(text) => types::Value::Text(text.clone()),
        });
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
            let value = |column| {
                Ok(match row.get::<_, types::Value>(column)? {
                    types::Value::Integer(number) => Value::Integer(number),
                    types::Value::Text(text) => Value::Text(text),
                    _ => Value::Null,
                })
            };
            Ok(Row((0..columns).map(value).collect::<rusqlite::Result<_>>()?))
        })?;
        rows.collect()
    }
}

impl Sql for Database {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        if self.gone.get() {
            return Err(SqlError::Unavailable("the database is away".to_owned()));
        }
        self.query(statement, parameters).map_err(|error| SqlError::from_sqlite(error.to_string()))
    }
}
