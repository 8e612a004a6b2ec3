//! How this crate sees a database: one trait with one method that does work.
//!
//! Functions implement it over the platform's databases, native tests over an ordinary client.

use sale::ids::Lane;

/// A database that executes one statement at a time, each in a transaction of its own.
///
/// Both dialects write parameters as `$1`, `$2` and so on. A statement must mention them in this order, because SQLite
/// numbers parameters by their first mention.
#[allow(async_fn_in_trait, reason = "used generically, on one thread, in components and tests")]
pub trait Sql {
    /// The dialect of SQL that the database speaks.
    fn dialect(&self) -> Dialect;

    /// Executes `statement` and returns its rows.
    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError>;
}

/// The dialects of SQL that this crate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// The value of a parameter or a column. The database's columns have no other types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// One row; its methods read it column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

/// A statement failed. It changed nothing, unless the connection broke before the database replied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SqlError {
    /// The database is locked, full or gone, or did not reply in time. The same statement may succeed later.
    #[error("the order database is unavailable: {0}")]
    Unavailable(String),
    /// A constraint or a trigger refused the row. It will refuse the same statement again.
    #[error("the order database refused: {0}")]
    Refused(String),
    /// The statement does not fit the database's tables. A bug.
    #[error("the order database does not understand: {0}")]
    Misunderstood(String),
}

impl SqlError {
    /// Classifies a failure of SQLite. The platform gives only its text; no other place reads such text.
    ///
    /// An unknown text counts as unavailable. The caller then tries again, and sets no event aside without need.
    pub fn from_sqlite(text: String) -> Self {
        // From constraints, from this crate's triggers, and for values that no column takes.
        const REFUSALS: [&str; 5] =
            ["constraint failed", "ledger: ", "malformed JSON", "cannot store ", "datatype mismatch"];
        const MISUNDERSTANDINGS: [&str; 6] = [
            "no such table",
            "no such column",
            "no such function",
            "syntax error",
            "has no column named",
            "incomplete input",
        ];
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&REFUSALS) {
            SqlError::Refused(text)
        } else if has(&MISUNDERSTANDINGS) {
            SqlError::Misunderstood(text)
        } else {
            SqlError::Unavailable(text)
        }
    }

    /// Classifies a failure of PostgreSQL by the class of its SQLSTATE.
    pub fn from_postgres(code: &str, message: String) -> Self {
        match code.get(..2) {
            // Integrity constraint violation, data exception.
            Some("22" | "23") => SqlError::Refused(message),
            // Syntax error or access rule violation; feature not supported; invalid name.
            Some("42" | "0A" | "3F") => SqlError::Misunderstood(message),
            _ => SqlError::Unavailable(message),
        }
    }
}

/// The parameters `item_id` and `lane`, by which most tables are keyed.
pub(crate) fn lane_parameters(lane: &Lane) -> [Value; 2] {
    [lane.item.as_str().into(), i64::from(lane.number).into()]
}

/// The number of rows of a query that begins with `FROM`.
pub(crate) async fn count(sql: &impl Sql, from: &str, parameters: &[Value]) -> Result<u64, SqlError> {
    let rows = sql.execute(&format!("SELECT count(*) {from}"), parameters).await?;
    rows.first().map_or(Ok(0), |row| row.small(0))
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl Row {
    /// The whole number in `column`, counted from 0.
    pub fn integer(&self, column: usize) -> Result<i64, SqlError> {
        self.integer_if_any(column)?.ok_or_else(|| self.unexpected(column))
    }

    /// The whole number in `column`, or nothing where it is null.
    pub fn integer_if_any(&self, column: usize) -> Result<Option<i64>, SqlError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unexpected(column)),
        }
    }

    /// The text in `column`.
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        self.text_if_any(column)?.ok_or_else(|| self.unexpected(column))
    }

    /// The text in `column`, or nothing where it is null.
    pub fn text_if_any(&self, column: usize) -> Result<Option<&str>, SqlError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unexpected(column)),
        }
    }

    /// The text in `column`, read as a `T`.
    pub fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, SqlError> {
        self.text(column)?.parse().map_err(|_| self.unexpected(column))
    }

    /// The error for a column of another type. It names only the column's number, because values may be personal.
    pub(crate) fn unexpected(&self, column: usize) -> SqlError {
        SqlError::Misunderstood(format!(
            "column {column} of {} is not of the type it should be",
            self.0.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_classified_by_whether_trying_again_helps() {
        for (text, refused) in [
            ("UNIQUE constraint failed: orders.reservation_id", true),
            ("CHECK constraint failed: quantity BETWEEN 1 AND 1000000", true),
            ("FOREIGN KEY constraint failed", true),
            ("ledger: an illegal move of the order", true),
            ("malformed JSON", true),
            ("cannot store TEXT value in INTEGER column orders.quantity", true),
            ("database is locked", false),
            ("disk I/O error", false),
            ("something nobody has seen", false),
        ] {
            let error = SqlError::from_sqlite(text.into());
            assert_eq!(matches!(error, SqlError::Refused(_)), refused, "{error:?}");
            assert_eq!(matches!(error, SqlError::Unavailable(_)), !refused, "{error:?}");
        }
        assert!(matches!(SqlError::from_sqlite("no such table: orders".into()), SqlError::Misunderstood(_)));
        assert!(matches!(SqlError::from_postgres("23514", String::new()), SqlError::Refused(_)));
        assert!(matches!(SqlError::from_postgres("22P05", String::new()), SqlError::Refused(_)));
        assert!(matches!(SqlError::from_postgres("42P01", String::new()), SqlError::Misunderstood(_)));
        for code in ["08006", "40001", "53300", "55P03", "57014", "57P01", "", "x"] {
            assert!(
                matches!(SqlError::from_postgres(code, String::new()), SqlError::Unavailable(_)),
                "{code}"
            );
        }
    }
}
