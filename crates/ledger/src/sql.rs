//! How this crate sees a database: one method. Functions bring the platform's, native tests an ordinary client.

/// A database that executes one statement at a time, each in a transaction of its own.
///
/// Parameters are written `$1`, `$2`… in both dialects. Each appears first in the order of its number, because SQLite
/// numbers them by appearance.
#[allow(async_fn_in_trait, reason = "used generically, on one thread, in components and tests")]
pub trait Sql {
    /// Which of the two kinds of SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Executes `statement`, and answers its rows, if it has any.
    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError>;
}

/// The kinds of SQL that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter or a column's value. There are no others in this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// One row, read column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

/// A statement was not executed; it changed nothing, unless the connection was lost before the answer came.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SqlError {
    /// The database is locked, full, gone, or did not answer in time. The same statement may succeed later.
    #[error("the order database is unavailable: {0}")]
    Unavailable(String),
    /// A constraint or a trigger refused the row. The same statement will be refused again.
    #[error("the order database refused: {0}")]
    Refused(String),
    /// The database did not understand: the statement or the schema is not what this code expects. A bug.
    #[error("the order database does not understand: {0}")]
    Misunderstood(String),
}

impl SqlError {
    /// Sorts a failure of SQLite, of which the platform gives only the text. The one place that reads such text.
    ///
    /// What is not known counts as unavailable: then it is tried again, and nothing is set aside for nothing.
    pub fn from_sqlite(text: String) -> Self {
        // Of constraints, of this crate's own triggers, and of values that no column takes.
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

    /// Sorts a failure of PostgreSQL by the class of its SQLSTATE.
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

    /// Values may be personal, so only the column's number is told.
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
    fn a_failure_is_sorted_by_what_helps() {
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
