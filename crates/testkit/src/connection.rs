//! An ordinary Redis client, which the engine can use like the platform's, and a subscription.

use std::time::Duration;

use futures::StreamExt;
use redis::Client;
use redis::aio::PubSub;

#[cfg(feature = "engine")]
pub use engine::Connection;

/// A subscription to channels.
pub struct Listener(PubSub);

impl Listener {
    pub(crate) async fn open(client: &Client, channels: &[&str]) -> Listener {
        let mut subscription = client.get_async_pubsub().await.expect("our own Redis answers");
        subscription.subscribe(channels).await.expect("our own Redis lets us subscribe");
        Listener(subscription)
    }

    /// The payload of the next message; there must be one within ten seconds.
    pub async fn expect(&mut self) -> String {
        self.next(Duration::from_secs(10)).await.expect("a message comes within ten seconds").1
    }

    /// The next message and its channel, or nothing when none comes within `patience`.
    pub async fn next(&mut self, patience: Duration) -> Option<(String, String)> {
        let message = tokio::time::timeout(patience, self.0.on_message().next()).await.ok()??;
        Some((message.get_channel_name().to_owned(), message.get_payload().expect("messages are text")))
    }
}

#[cfg(feature = "engine")]
mod engine {
    use redis::aio::MultiplexedConnection;
    use redis::{AsyncConnectionConfig, Client, Value};
    use sale::store::{Redis, RedisError, Reply};

    use super::{Duration, Listener};

    /// A connection to a [`crate::RedisServer`].
    #[derive(Clone)]
    pub struct Connection(MultiplexedConnection);

    impl Connection {
        pub(crate) async fn open(client: &Client) -> Connection {
            // A crowd of thousands that shares a few connections waits a while for its replies on a busy machine.
            let patience = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
            let connection = client.get_multiplexed_async_connection_with_config(&patience).await;
            Connection(connection.expect("our own Redis answers"))
        }

        /// Executes a command that must succeed.
        pub async fn command(&self, command: &str, arguments: &[&str]) -> Vec<Reply> {
            let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
            self.execute(command, &arguments).await.expect("the command is right")
        }

        /// The single number that a command replies.
        pub async fn number(&self, command: &str, arguments: &[&str]) -> i64 {
            self.command(command, arguments).await[0].int().expect("the reply is a number")
        }

        /// All values that a command replies, as text; an empty text for nil.
        pub async fn texts(&self, command: &str, arguments: &[&str]) -> Vec<String> {
            let replies = self.command(command, arguments).await;
            replies.iter().map(|reply| reply.text().unwrap_or_default().into_owned()).collect()
        }
    }

    impl Redis for Connection {
        async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError> {
            let mut request = redis::cmd(command);
            for argument in arguments {
                request.arg(*argument);
            }
            let value: Value = request
                .query_async(&mut self.0.clone())
                .await
                .map_err(|error| RedisError::from_text(error.to_string()))?;
            let mut flat = Vec::new();
            flatten(value, &mut flat);
            Ok(flat)
        }
    }

    /// The platform's `execute` flattens nested replies, so this client does.
    fn flatten(value: Value, flat: &mut Vec<Reply>) {
        match value {
            Value::Nil => flat.push(Reply::Nil),
            Value::Int(number) => flat.push(Reply::Int(number)),
            Value::BulkString(bytes) => flat.push(Reply::Binary(bytes)),
            Value::SimpleString(text) => flat.push(Reply::Status(text)),
            Value::Okay => flat.push(Reply::Status("OK".to_owned())),
            Value::Array(values) => values.into_iter().for_each(|value| flatten(value, flat)),
            other => panic!("RESP2 has no {other:?}"),
        }
    }

    impl Listener {
        /// All messages that were published before now, by channel and payload.
        ///
        /// A message of our own on `own_channel` marks the end; messages of one connection keep their order.
        pub async fn heard(&mut self, redis: &Connection, own_channel: &str) -> Vec<(String, String)> {
            redis.command("PUBLISH", &[own_channel, "the end"]).await;
            let mut heard = Vec::new();
            loop {
                let message = self.next(Duration::from_secs(10)).await.expect("our own message comes");
                if message.1 == "the end" {
                    return heard;
                }
                heard.push(message);
            }
        }
    }
}
