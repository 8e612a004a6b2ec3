//! A private redis-server on a socket of its own, gone with the process that started it, and the crate's view of it.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use redis::Value;
use redis::aio::MultiplexedConnection;
use sale::store::{Redis, RedisError, Reply};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. Dropping it stops it.
pub struct RedisServer {
    socket: PathBuf,
    _folder: tempfile::TempDir,
    /// A shell with the server as its child; it ends both when its input ends, which it does when this process does.
    watchdog: Child,
}

/// A channel's messages.
pub struct Subscription(redis::aio::PubSub);

/// A connection to a [`RedisServer`].
#[derive(Clone)]
pub struct RedisClient(MultiplexedConnection);

impl RedisServer {
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(r#"redis-server --port 0 --unixsocket "$0" --save '' --dir "${0%/*}" --notify-keyspace-events Ex & cat >/dev/null; kill -9 $!"#)
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let server = RedisServer { socket, _folder: folder, watchdog };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&server.socket).is_err() {
            if Instant::now() > deadline {
                bail!("redis-server did not start; install it by: apt-get install redis-server");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub async fn connect(&self) -> Result<RedisClient> {
        let connection = self.client()?.get_multiplexed_async_connection().await;
        Ok(RedisClient(connection.context("connecting to redis-server")?))
    }

    /// Hears what is published on `channel` from now on.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        let mut subscription = self.client()?.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(Subscription(subscription))
    }

    fn client(&self) -> Result<redis::Client> {
        Ok(redis::Client::open(format!("redis+unix://{}", self.socket.display()))?)
    }
}

impl Subscription {
    /// The next message; there must be one within ten seconds.
    pub async fn next(&mut self) -> String {
        let mut messages = self.0.on_message();
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap();
        message.get_payload().unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

impl Redis for RedisClient {
    async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError> {
        let mut request = redis::cmd(command);
        for argument in arguments {
            request.arg(*argument);
        }
        let value: Value = request
            .query_async(&mut self.0.clone())
            .await
            .map_err(|error| RedisError::from_text(error.to_string()))?;
        let mut replies = Vec::new();
        flatten(value, &mut replies);
        Ok(replies)
    }
}

fn flatten(value: Value, into: &mut Vec<Reply>) {
    match value {
        Value::Nil => into.push(Reply::Nil),
        Value::Int(number) => into.push(Reply::Int(number)),
        Value::BulkString(bytes) => into.push(Reply::Binary(bytes)),
        Value::SimpleString(text) => into.push(Reply::Status(text)),
        Value::Okay => into.push(Reply::Status("OK".to_owned())),
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, into)),
        other => panic!("a reply of another type: {other:?}"),
    }
}
