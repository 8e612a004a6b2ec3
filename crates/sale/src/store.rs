//! How this crate sees Redis: one method. The functions bring the Spin SDK, native tests an ordinary client.

use std::fmt;

/// A Redis server that executes one command and gives a flat reply, as Spin's `execute` does.
#[allow(async_fn_in_trait, reason = "used generically, on one thread, in components and tests")]
pub trait Redis {
    /// Executes `command` with `arguments`; nested replies come flattened, in order.
    async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError>;
}

/// One value of a reply.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Status(String),
    Int(i64),
    Binary(Vec<u8>),
}

/// Redis did not execute a command.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The server refused the command, in its own words.
    #[error("redis refused: {0}")]
    Refused(String),
    /// The server could not be reached, or gave no reply.
    #[error("redis is unavailable: {0}")]
    Unavailable(String),
}

impl RedisError {
    /// Sorts a failure of which only the text is known, as Spin gives it.
    ///
    /// This is the one place that reads such text. Redis begins a refusal with a word in capitals, such as `NOSCRIPT`;
    /// the client within the runtime may put its own word in its place (`NoScript`, `NoScriptError`) or before it.
    pub fn from_text(text: String) -> Self {
        const REFUSALS: [&str; 9] = [
            "NOSCRIPT",
            "NoScript",
            "ERR ",
            "ResponseError",
            "WRONGTYPE",
            "BUSYGROUP",
            "NOGROUP",
            "EXECABORT",
            "ExecAbort",
        ];
        if REFUSALS.iter().any(|word| text.contains(word)) {
            RedisError::Refused(text)
        } else {
            RedisError::Unavailable(text)
        }
    }

    /// Whether the script cache lacks the script, so that EVALSHA must become EVAL.
    pub fn is_missing_script(&self) -> bool {
        matches!(self, RedisError::Refused(text) if text.contains("NOSCRIPT") || text.contains("NoScript"))
    }
}

impl Reply {
    /// The value as text; a number in decimal.
    pub fn text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Reply::Nil => None,
            Reply::Status(text) => Some(text.into()),
            Reply::Int(number) => Some(number.to_string().into()),
            Reply::Binary(bytes) => std::str::from_utf8(bytes).ok().map(Into::into),
        }
    }

    /// The value as a whole number, also when Redis keeps it as decimal text.
    pub fn int(&self) -> Option<i64> {
        match self {
            Reply::Int(number) => Some(*number),
            other => other.text()?.parse().ok(),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Nil => f.write_str("nil"),
            Reply::Status(text) => write!(f, "+{text}"),
            Reply::Int(number) => write!(f, "{number}"),
            Reply::Binary(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

impl<R: Redis> Redis for &R {
    async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError> {
        (**self).execute(command, arguments).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of redis-server itself, and of the clients within Spin and within our host.
    #[test]
    fn a_missing_script_is_known_by_the_words_of_every_client() {
        for text in [
            "NOSCRIPT No matching script. Please use EVAL.",
            "NoScript: No matching script. Please use EVAL.",
            "An error was signalled by the server - NoScriptError: No matching script. Please use EVAL.",
        ] {
            assert!(RedisError::from_text(text.to_owned()).is_missing_script(), "{text}");
        }
        for (text, refused) in [
            ("ERR user_script:9: records without their lane script: 2f", true),
            ("ResponseError: user_script:9: records without their lane script: 2f", true),
            ("\"WRONGTYPE\": Operation against a key holding the wrong kind of value", true),
            ("\"OOM\": command not allowed when used memory > 'maxmemory'.", false),
            ("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk", false),
            ("BusyLoading: Redis is loading the dataset in memory", false),
            ("Connection refused (os error 111)", false),
            ("timed out", false),
        ] {
            let error = RedisError::from_text(text.to_owned());
            assert!(!error.is_missing_script(), "{text}");
            assert_eq!(matches!(error, RedisError::Refused(_)), refused, "{text}");
        }
    }
}
