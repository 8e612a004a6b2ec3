//! The order database, read where the host wrote it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// An order as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    pub id: String,
    pub reservation_id: String,
    pub item_id: String,
    pub user_id: String,
    pub quantity: i64,
    pub state: String,
}

/// All orders in the SQLite database under a host's state folder, by id.
pub fn orders_in(state: &Path) -> Vec<OrderRow> {
    let connection = open(state, OpenFlags::SQLITE_OPEN_READ_ONLY);
    // No table yet means no order yet.
    let Ok(mut statement) = connection
        .prepare("SELECT id, reservation_id, item_id, user_id, quantity, state FROM orders ORDER BY id")
    else {
        return Vec::new();
    };
    let rows = statement.query_map([], |row| {
        Ok(OrderRow {
            id: row.get(0)?,
            reservation_id: row.get(1)?,
            item_id: row.get(2)?,
            user_id: row.get(3)?,
            quantity: row.get(4)?,
            state: row.get(5)?,
        })
    });
    rows.and_then(Iterator::collect).expect("the order table is as the ledger crate makes it")
}

/// Holds the order database's write lock, as a backup or a stuck administrator would, until it is dropped.
pub struct DatabaseLock {
    _connection: Connection,
}

pub fn lock_database(state: &Path) -> DatabaseLock {
    let connection = open(state, OpenFlags::SQLITE_OPEN_READ_WRITE);
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("the database can be locked");
    DatabaseLock { _connection: connection }
}

/// Deletes everything from the key-value stores, under a running host.
pub fn empty_key_value(state: &Path) {
    let path = state.join("sqlite_key_value.db");
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
    let deleted = connection.execute("DELETE FROM spin_key_value", []).expect("the table is Spin's");
    assert!(deleted > 0, "the key-value store was empty already: the test shows nothing");
}

/// The key-value stores fail at every call, under a running host, until this is dropped.
pub struct BrokenStore(Connection);

impl BrokenStore {
    pub fn of(state: &Path) -> BrokenStore {
        let path = state.join("sqlite_key_value.db");
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
        // The host makes a table that is missing, so something of its name must stay.
        let batch =
            "ALTER TABLE spin_key_value RENAME TO away; CREATE VIEW spin_key_value AS SELECT 1 AS one";
        connection.execute_batch(batch).expect("the table is Spin's");
        BrokenStore(connection)
    }
}

impl Drop for BrokenStore {
    fn drop(&mut self) {
        let batch = "DROP VIEW spin_key_value; ALTER TABLE away RENAME TO spin_key_value";
        self.0.execute_batch(batch).expect("it can be mended");
    }
}

/// The values in the key-value stores whose keys have this beginning.
pub fn values_in_store(state: &Path, beginning: &str) -> Vec<Vec<u8>> {
    let path = state.join("sqlite_key_value.db");
    // No file yet means nothing was stored yet.
    let Ok(connection) = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
        return Vec::new();
    };
    let Ok(mut statement) =
        connection.prepare("SELECT value FROM spin_key_value WHERE substr(key, 1, length(?1)) = ?1")
    else {
        return Vec::new();
    };
    let rows = statement.query_map([beginning], |row| row.get(0));
    rows.and_then(Iterator::collect).expect("the table is Spin's")
}

/// Every row of every table, as text, with the table's name.
pub fn rows_in(state: &Path) -> Vec<String> {
    let connection = open(state, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let names = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut tables = connection.prepare(names).expect("the schema can be read");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("a table's name is text");
    let mut all = Vec::new();
    for table in tables {
        let mut statement =
            connection.prepare(&format!("SELECT * FROM {table}")).expect("a table can be read");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            Ok(format!("{table}: {:?}", values.collect::<Result<Vec<_>, _>>()?))
        });
        let rows: Vec<String> = rows.and_then(Iterator::collect).expect("a row can be read");
        all.extend(rows);
    }
    all
}

/// The database's files, byte by byte, once everything in the write-ahead log is in the database.
pub fn bytes_in(state: &Path) -> Vec<u8> {
    let connection = open(state, OpenFlags::SQLITE_OPEN_READ_WRITE);
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .expect("the log can be emptied");
    assert_eq!(busy, 0, "nobody else uses the log");
    std::fs::read(file(state)).expect("the file can be read")
}

/// Notes the personal data of an order that was made so many days ago.
pub fn add_personal_data(state: &Path, order: &str, days_ago: i64) {
    let connection = open(state, OpenFlags::SQLITE_OPEN_READ_WRITE);
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
    let statement = "INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note) \
        VALUES (?1, 'u-1', (CAST(strftime('%s', 'now') AS INTEGER) - ?2 * 86400) * 1000, 'Old Phone', 'Old Road', '')";
    connection.execute(statement, (order, days_ago)).expect("the table is as the ledger crate makes it");
}

/// The database file of the default store.
pub(crate) fn open(state: &Path, flags: OpenFlags) -> Connection {
    let path = file(state);
    Connection::open_with_flags(&path, flags)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

fn file(state: &Path) -> PathBuf {
    let path = state.join("sqlite_db.db");
    assert!(path.is_file(), "there is no {}", path.display());
    path
}
