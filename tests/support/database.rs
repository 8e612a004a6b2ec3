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
