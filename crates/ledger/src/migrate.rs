//! Migrations: files of SQL, applied in order, once, by whoever starts first.
//!
//! Starting is safe beside any number of others: one of them migrates, the rest wait and find it done. Each migration
//! is applied whole or not at all. A database that is ahead of this code is accepted, so that two versions can run
//! side by side during a deployment: the rules that protect rows live in the database, not in the older code.

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
    /// The database was made by another text of this file: a released migration was edited.
    #[error("migration {number} ({name}) is not the one that this database was made by")]
    Changed { number: i64, name: &'static str },
}

static SQLITE: [Migration; 1] =
    [Migration { number: 1, name: "orders", text: include_str!("../migrations/sqlite/0001_orders.sql") }];

static POSTGRES: [Migration; 1] =
    [Migration { number: 1, name: "orders", text: include_str!("../migrations/postgres/0001_orders.sql") }];

/// The line between two statements of a file; semicolons also stand inside triggers.
const SEPARATOR: &str = "-- next";

/// Which migrations a database has. Its own name, because shops may have a table `migrations`.
const RECORD: &str = "CREATE TABLE IF NOT EXISTS ledger_migrations \
    (number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Any number; whoever migrates on PostgreSQL holds this advisory lock.
const LOCK: i64 = 0x5354_414d_5045_4445;

/// Brings the tables up to date; answers how many migrations were missing.
///
/// On SQLite this needs a connection that nobody else uses meanwhile, since it opens a transaction.
pub async fn migrate(sql: &impl Sql) -> Result<usize, MigrateError> {
    migrate_by(sql, migrations(sql.dialect())).await
}

/// The migrations of this version of the code.
pub fn migrations(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Sqlite => &SQLITE,
        Dialect::Postgres => &POSTGRES,
    }
}

/// [`migrate`] by other migrations than this version's, as a later version would.
pub async fn migrate_by(sql: &impl Sql, migrations: &[Migration]) -> Result<usize, MigrateError> {
    let known = check(sql, migrations).await?;
    if known == migrations.len() {
        return Ok(0);
    }
    match sql.dialect() {
        Dialect::Sqlite => migrate_sqlite(sql, migrations).await?,
        Dialect::Postgres => {
            sql.execute(&postgres_block(migrations), &[]).await?;
        }
    }
    // Whoever came first may have had other texts.
    check(sql, migrations).await?;
    Ok(migrations.len() - known)
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

    /// FNV-1a of the text, whatever its line ends: it guards against a mistake, not against malice.
    fn checksum(&self) -> String {
        let hash =
            self.text.bytes().filter(|byte| *byte != b'\r').fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{hash:016x}")
    }
}

/// How many of `migrations` the database has, all of them by the same text.
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
    let mut known = 0;
    for (row, migration) in rows.iter().zip(migrations) {
        let Migration { number, name, .. } = *migration;
        if row.integer(0)? != number || row.text(1)? != migration.checksum() {
            return Err(MigrateError::Changed { number, name });
        }
        known += 1;
    }
    Ok(known)
}

async fn migrate_sqlite(sql: &impl Sql, migrations: &[Migration]) -> Result<(), MigrateError> {
    // Readers then never wait for the writer. Kept in the file, so once is enough; a database that can't is slower.
    let _ = sql.execute("PRAGMA journal_mode = WAL", &[]).await;
    sql.execute("BEGIN IMMEDIATE", &[]).await?;
    let outcome = migrate_locked_sqlite(sql, migrations).await;
    // Dropping the connection would undo it as well; but it is about to be used.
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sql.execute(end, &[]).await;
    outcome?;
    ended?;
    Ok(())
}

async fn migrate_locked_sqlite(sql: &impl Sql, migrations: &[Migration]) -> Result<(), MigrateError> {
    sql.execute(RECORD, &[]).await?;
    let known = check(sql, migrations).await?;
    for migration in &migrations[known..] {
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

/// All migrations as one statement, which PostgreSQL executes in one transaction under one lock.
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
