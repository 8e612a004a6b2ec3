//! Migrations: files of SQL, each applied once, in order.
//!
//! Any number of instances may start at once: one of them migrates, and the others wait. A migration is applied
//! completely or not at all.
//!
//! A database that is ahead of this code is accepted, so that two versions can run side by side during a deployment.
//! That is safe, because the rules that protect rows are in the database and not in the older code.

use crate::sql::{Dialect, Sql, SqlError};

/// One file of SQL.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub number: i64,
    pub name: &'static str,
    pub text: &'static str,
}

/// Why the tables could not be brought up to date.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MigrateError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Another text of this file made the database: somebody edited a released migration.
    #[error("migration {number} ({name}) is not the one that this database was made by")]
    Changed { number: i64, name: &'static str },
}

static SQLITE: [Migration; 2] = [
    Migration { number: 1, name: "orders", text: include_str!("../migrations/sqlite/0001_orders.sql") },
    Migration {
        number: 2,
        name: "personal_data",
        text: include_str!("../migrations/sqlite/0002_personal_data.sql"),
    },
];

static POSTGRES: [Migration; 2] = [
    Migration { number: 1, name: "orders", text: include_str!("../migrations/postgres/0001_orders.sql") },
    Migration {
        number: 2,
        name: "personal_data",
        text: include_str!("../migrations/postgres/0002_personal_data.sql"),
    },
];

/// The line between two statements of a file. Semicolons also occur inside triggers, so they can't separate.
const SEPARATOR: &str = "-- next";

/// Makes the table that lists applied migrations. It is not called `migrations`, because a shop may have such a table.
const RECORD: &str = "CREATE TABLE IF NOT EXISTS ledger_migrations \
    (number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// The advisory lock under which one instance migrates on PostgreSQL. Any number would do.
const LOCK: i64 = 0x5354_414d_5045_4445;

/// Brings the tables up to date. Returns how many migrations were missing.
///
/// On SQLite this opens a transaction, so nothing else may use the connection meanwhile.
pub async fn migrate(sql: &impl Sql) -> Result<usize, MigrateError> {
    migrate_by(sql, migrations(sql.dialect())).await
}

/// Whether the database has every migration of this version of the code.
pub async fn is_up_to_date(sql: &impl Sql) -> Result<bool, MigrateError> {
    let migrations = migrations(sql.dialect());
    Ok(check(sql, migrations).await? == migrations.len())
}

/// The migrations of this version of the code.
pub fn migrations(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Sqlite => &SQLITE,
        Dialect::Postgres => &POSTGRES,
    }
}

/// [`migrate`] with other migrations than this version's, as a later version would have.
pub async fn migrate_by(sql: &impl Sql, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let applied = check(sql, migrations).await?;
    if applied == migrations.len() {
        return Ok(0);
    }
    match sql.dialect() {
        Dialect::Sqlite => migrate_sqlite(sql, migrations).await?,
        Dialect::Postgres => {
            sql.execute(&postgres_block(migrations), &[]).await?;
        }
    }
    // Another instance may have migrated first, with other texts.
    check(sql, migrations).await?;
    Ok(migrations.len() - applied)
}

impl Migration {
    fn statements(&self) -> impl Iterator<Item = String> {
        let mut lines = self.text.lines().peekable();
        std::iter::from_fn(move || {
            lines.peek()?;
            let statement: Vec<&str> = lines.by_ref().take_while(|line| *line != SEPARATOR).collect();
            Some(statement.join("\n"))
        })
    }

    /// FNV-1a of the text without carriage returns. It guards against a mistake, not against malice.
    fn checksum(&self) -> String {
        let hash =
            self.text.bytes().filter(|byte| *byte != b'\r').fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

/// Returns how many of `migrations` the database has. Fails if one of them was applied with another text.
async fn check(sql: &impl Sql, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let exists = match sql.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'ledger_migrations'"
        }
        Dialect::Postgres => "SELECT 'yes' WHERE to_regclass('ledger_migrations') IS NOT NULL",
    };
    if sql.execute(exists, &[]).await?.is_empty() {
        return Ok(0);
    }
    let rows = sql.execute("SELECT number, checksum FROM ledger_migrations ORDER BY number", &[]).await?;
    let mut applied = 0;
    for (row, migration) in rows.iter().zip(migrations) {
        let Migration { number, name, .. } = *migration;
        if row.integer(0)? != number || row.text(1)? != migration.checksum() {
            return Err(MigrateError::Changed { number, name });
        }
        applied += 1;
    }
    Ok(applied)
}

async fn migrate_sqlite(sql: &impl Sql, migrations: &[Migration]) -> Result<(), MigrateError> {
    // With a write-ahead log readers never wait for the writer. The file keeps this mode, so once is enough. A database
    // without it is slower, so a failure is ignored.
    let _ = sql.execute("PRAGMA journal_mode = WAL", &[]).await;
    sql.execute("BEGIN IMMEDIATE", &[]).await?;
    let outcome = migrate_locked_sqlite(sql, migrations).await;
    // The caller goes on to use this connection, so the transaction must end here.
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sql.execute(end, &[]).await;
    outcome?;
    ended?;
    Ok(())
}

async fn migrate_locked_sqlite(sql: &impl Sql, migrations: &[Migration]) -> Result<(), MigrateError> {
    sql.execute(RECORD, &[]).await?;
    let applied = check(sql, migrations).await?;
    for migration in &migrations[applied..] {
        for statement in migration.statements() {
            sql.execute(&statement, &[]).await?;
        }
        sql.execute(
            "INSERT INTO ledger_migrations (number, name, checksum, applied_at) \
             VALUES ($1, $2, $3, CAST(strftime('%s', 'now') AS INTEGER) * 1000)",
            &[migration.number.into(), migration.name.into(), migration.checksum().into()],
        )
        .await?;
    }
    Ok(())
}

/// All migrations as one statement, so that PostgreSQL executes them in one transaction and under one lock.
fn postgres_block(migrations: &[Migration]) -> String {
    let mut block = format!("DO $ledger_block$\nBEGIN\nPERFORM pg_advisory_xact_lock({LOCK});\n{RECORD};\n");
    for migration in migrations {
        let Migration { number, name, .. } = migration;
        block.push_str(&format!(
            "IF NOT EXISTS (SELECT 1 FROM ledger_migrations WHERE number = {number}) THEN\n"
        ));
        for statement in migration.statements() {
            block.push_str(&format!("EXECUTE $ledger_statement$\n{statement}\n$ledger_statement$;\n"));
        }
        block.push_str(&format!(
            "INSERT INTO ledger_migrations (number, name, checksum, applied_at) VALUES ({number}, '{name}', '{}', \
             (extract(epoch FROM clock_timestamp()) * 1000)::bigint);\nEND IF;\n",
            migration.checksum()
        ));
    }
    block.push_str("END\n$ledger_block$");
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_split_at_separator_lines_and_nowhere_else() {
        let text = "CREATE TRIGGER a BEGIN SELECT 1; SELECT 2; END;\n-- next\nSELECT '-- next; still one'\n";
        let statements: Vec<_> = Migration { number: 1, name: "a", text }.statements().collect();
        assert_eq!(
            statements,
            ["CREATE TRIGGER a BEGIN SELECT 1; SELECT 2; END;", "SELECT '-- next; still one'"]
        );
    }

    #[test]
    fn numbers_count_up_alike_and_no_quote_is_inside_a_quote() {
        let numbers =
            |list: &'static [Migration]| list.iter().map(|m| (m.number, m.name)).collect::<Vec<_>>();
        assert_eq!(numbers(&SQLITE), numbers(&POSTGRES));
        for (at, migration) in (1..).zip(&POSTGRES) {
            assert_eq!(migration.number, at);
            assert!(!migration.text.contains("$ledger_"));
            assert!(migration.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
    }
}
