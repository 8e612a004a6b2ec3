//! The platform's Redis as [`sale::store::Redis`], over one connection per instance.
//!
//! Opening a connection costs more than everything else in a request. So an instance opens one, and all its requests
//! share it. A connection that failed is forgotten, and the next call opens another. No command is repeated here: only
//! the caller knows whether that is harmless.

use std::cell::RefCell;
use std::rc::Rc;

use sale::scripts::EngineError;
use sale::store::{Redis, RedisError, Reply};
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

use crate::http::problem::Problem;
use crate::platform::settings;

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// The Redis that the setting `redis_url` names.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedRedis;

impl Redis for SharedRedis {
    async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError> {
        let connection = connection().await?;
        let arguments = arguments.iter().map(|argument| RedisParameter::Binary(argument.to_vec()));
        match connection.execute(command, arguments).await {
            Ok(results) => Ok(results.into_iter().map(reply).collect()),
            Err(error) => {
                let error = RedisError::from_text(text_of(error));
                if matches!(error, RedisError::Unavailable(_)) {
                    forget(&connection);
                }
                Err(error)
            }
        }
    }
}

impl SharedRedis {
    /// Rings a doorbell. A failure costs time only: polls, alarms and `tick` find the work.
    pub async fn publish(&self, channel: &str, message: &str) -> Result<(), RedisError> {
        let connection = connection().await?;
        connection.publish(channel, message).await.map_err(|error| {
            forget(&connection);
            RedisError::Unavailable(text_of(error))
        })
    }
}

/// Whatever Redis said, the shopper hears that nothing is lost and a retry is safe.
impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        Problem::unavailable(error)
    }
}

impl From<RedisError> for Problem {
    fn from(error: RedisError) -> Self {
        Problem::unavailable(error)
    }
}

async fn connection() -> Result<Rc<Connection>, RedisError> {
    if let Some(connection) = CONNECTION.with_borrow(Clone::clone) {
        return Ok(connection);
    }
    let address = settings::text(settings::REDIS_URL)
        .await
        .map_err(|problem| RedisError::Unavailable(problem.cause().unwrap_or("no address").to_owned()))?;
    let opened =
        Connection::open(&*address).await.map_err(|error| RedisError::Unavailable(text_of(error)))?;
    // Another request of this instance may have opened one meanwhile; then both use that one from now on.
    Ok(CONNECTION.with_borrow_mut(|shared| shared.get_or_insert_with(|| Rc::new(opened)).clone()))
}

fn forget(failed: &Rc<Connection>) {
    CONNECTION.with_borrow_mut(|shared| {
        if shared.as_ref().is_some_and(|connection| Rc::ptr_eq(connection, failed)) {
            *shared = None;
        }
    });
}

fn reply(result: RedisResult) -> Reply {
    match result {
        RedisResult::Nil => Reply::Nil,
        RedisResult::Status(text) => Reply::Status(text),
        RedisResult::Int64(number) => Reply::Int(number),
        RedisResult::Binary(bytes) => Reply::Binary(bytes),
    }
}

/// The error in words. The address is left out, because it may contain a password.
fn text_of(error: Error) -> String {
    match error {
        Error::InvalidAddress => "redis_url is no address, or the manifest does not grant it".to_owned(),
        Error::TooManyConnections => "too many connections".to_owned(),
        Error::TypeError => "a reply of another type".to_owned(),
        Error::Other(text) => text,
    }
}
