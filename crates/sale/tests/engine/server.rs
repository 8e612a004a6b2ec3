//! A private redis-server, and an ordinary client seen as the engine sees Redis.

use redis::aio::MultiplexedConnection;
use redis::{Client, Value};
use sale::store::{Redis, RedisError, Reply};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A redis-server of its own, on a socket in a temporary folder; both go when this is dropped.
pub struct Server {
    process: Child,
    folder: TempDir,
    client: Client,
    settings: &'static [&'static str],
}

impl Server {
    /// A server that forgets all when it ends.
    pub async fn start() -> Server {
        Server::start_with(&["--appendonly", "no"]).await
    }

    /// A server that has on disk whatever it has answered.
    pub async fn start_durable() -> Server {
        Server::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    async fn start_with(settings: &'static [&'static str]) -> Server {
        let folder = tempfile::Builder::new().prefix("stampede-engine-").tempdir().unwrap();
        let client =
            Client::open(format!("redis+unix://{}", folder.path().join("redis.sock").display())).unwrap();
        let process = spawn(&folder, settings);
        let mut server = Server { process, folder, client, settings };
        server.wait_until_up().await;
        server
    }

    /// Ends the server by signal 9 and starts it again on what it left.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(&self.folder, self.settings);
        self.wait_until_up().await;
    }

    async fn wait_until_up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            // While it still loads what it left, it answers, but refuses.
            if let Ok(mut connection) = self.client.get_multiplexed_async_connection().await
                && redis::cmd("DBSIZE").exec_async(&mut connection).await.is_ok()
            {
                return;
            }
            if Instant::now() > deadline || self.process.try_wait().unwrap().is_some() {
                panic!("redis-server did not come up:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn connect(&self) -> Connection {
        // A crowd of thousands through a few connections waits a while for its answers on a busy machine.
        let patience =
            redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
        Connection(self.client.get_multiplexed_async_connection_with_config(&patience).await.unwrap())
    }

    /// As many connections as a crowd of function instances would hold.
    pub async fn connect_many(&self, count: usize) -> Vec<Connection> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await);
        }
        connections
    }

    /// Hears what is published on `channels` from now on.
    pub async fn listen(&self, channels: &[&str]) -> Listener {
        let mut pubsub = self.client.get_async_pubsub().await.unwrap();
        pubsub.subscribe(channels).await.unwrap();
        Listener { pubsub }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

fn spawn(folder: &TempDir, settings: &[&str]) -> Child {
    let log =
        std::fs::File::options().create(true).append(true).open(folder.path().join("redis.log")).unwrap();
    // No port at all: a socket in a folder of our own can be nobody else's.
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--notify-keyspace-events", "Ex"])
        .args(settings)
        .arg("--unixsocket")
        .arg(folder.path().join("redis.sock"))
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server does not start ({error}). Install it: apt-get install redis-server")
        })
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- redis-server\n{}", self.log());
        }
    }
}

/// A subscription.
pub struct Listener {
    pubsub: redis::aio::PubSub,
}

impl Listener {
    /// The next message and its channel, or nothing when none comes within `patience`.
    pub async fn next(&mut self, patience: Duration) -> Option<(String, String)> {
        use futures::StreamExt;
        let message = tokio::time::timeout(patience, self.pubsub.on_message().next()).await.ok()??;
        Some((message.get_channel_name().to_owned(), message.get_payload().unwrap()))
    }

    /// All messages that were published before now, by channel and payload.
    ///
    /// A message of our own marks the end; messages of one connection keep their order.
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

/// An ordinary client that answers flat, as Spin's outbound Redis does.
#[derive(Clone)]
pub struct Connection(MultiplexedConnection);

impl Connection {
    /// Executes a command that must succeed.
    pub async fn command(&self, command: &str, arguments: &[&str]) -> Vec<Reply> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        self.execute(command, &arguments).await.unwrap()
    }

    /// The single number that a command answers.
    pub async fn number(&self, command: &str, arguments: &[&str]) -> i64 {
        self.command(command, arguments).await[0].int().unwrap()
    }

    /// All values that a command answers, as text; nothing for nil.
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
        let mut connection = self.0.clone();
        let value: Value = request
            .query_async(&mut connection)
            .await
            .map_err(|error| RedisError::from_text(error.to_string()))?;
        let mut flat = Vec::new();
        flatten(value, &mut flat);
        Ok(flat)
    }
}

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
