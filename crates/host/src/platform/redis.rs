//! `spin:redis`: commands to granted Redis servers.
//!
//! `open` costs nothing. All handles share a few multiplexed connections to each server, so that the commands of many
//! requests travel in one write.
//!
//! Some commands need a connection of their own, such as a transaction or a blocking pop. A handle gets one with its
//! first such command, and keeps it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, RedisError, Value};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use wasmtime::component::{Accessor, Resource};

use crate::allowed_hosts::Destination;
use crate::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};
use crate::log;
use crate::state::{Platform, State};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a first failed attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts. A server may be back for this long before the host notices.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// All Redis servers that components talk to.
pub struct Servers {
    by_address: Mutex<HashMap<String, Arc<Server>>>,
    connections: usize,
    timeout: Duration,
}

impl Servers {
    /// `connections` is the number of shared connections to each server, `timeout` the time that one command may take.
    pub fn new(connections: usize, timeout: Duration) -> Self {
        Self { by_address: Mutex::default(), connections: connections.max(1), timeout }
    }

    /// The server at an address. Connects only when a command comes.
    ///
    /// # Errors
    /// Fails if the address is not a Redis URL.
    pub fn server(&self, address: &str) -> Result<Arc<Server>, RedisError> {
        let mut servers = self.by_address.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(server) = servers.get(address) {
            return Ok(server.clone());
        }
        let server = Arc::new(Server::new(address, self.connections, self.timeout)?);
        servers.insert(address.to_owned(), server.clone());
        Ok(server)
    }

    /// Ends all pauses after failures. Call it when a server is known to be back.
    pub fn try_again(&self) {
        let servers = self.by_address.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for link in servers.values().flat_map(|server| &server.links) {
            let mut status = link.status();
            if matches!(*status, Status::Down { .. }) {
                *status = Status::Absent { failures: 0 };
            }
        }
    }
}

/// One server and the connections that all instances share.
pub struct Server {
    client: Client,
    /// The address without credentials, for messages.
    name: String,
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    timeout: Duration,
}

/// One shared connection, or the reason why there is none at the moment.
struct Link {
    status: Mutex<Status>,
}

enum Status {
    /// There is no connection, and nobody has tried to make one since the last one broke.
    Absent {
        failures: u32,
    },
    /// A task is connecting. The receiver wakes when the status has changed.
    Connecting(watch::Receiver<()>),
    Up {
        connection: MultiplexedConnection,
        generation: u64,
    },
    /// The last attempt failed. Until `until`, commands fail at once and nobody tries again.
    Down {
        until: Instant,
        failures: u32,
        reason: String,
    },
}

impl Server {
    fn new(address: &str, connections: usize, timeout: Duration) -> Result<Self, RedisError> {
        let name = Destination::parse(address).map_or_else(|| "redis".to_owned(), |place| place.to_string());
        let links = (0..connections).map(|_| Link::new()).collect();
        Ok(Self { client: Client::open(address)?, name, links, next: AtomicUsize::new(0), timeout })
    }

    /// Runs a command on a shared connection.
    ///
    /// # Errors
    /// For an error reply, the server's own text (`NOSCRIPT No matching script…`); otherwise a text about the
    /// connection. A command is never repeated, because the host can't know whether it took effect.
    pub async fn run(&self, command: &Cmd) -> Result<Value, String> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let link = &self.links[turn % self.links.len()];
        let (mut connection, generation) = link.connection(self).await?;
        match command.query_async::<Value>(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => {
                if is_broken(&error) {
                    link.lost(generation);
                    log::warn(None, &format!("{}: {error}", self.name));
                }
                Err(self.text(&error))
            }
        }
    }

    fn text(&self, error: &RedisError) -> String {
        match error.code() {
            Some(code) => format!("{code} {}", error.detail().unwrap_or_default()).trim_end().to_owned(),
            None => format!("{}: {error}", self.name),
        }
    }
}

impl Link {
    fn new() -> Arc<Self> {
        Arc::new(Self { status: Mutex::new(Status::Absent { failures: 0 }) })
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The connection, which is made if there is none. Fails at once during the pause after a failure.
    async fn connection(self: &Arc<Self>, server: &Server) -> Result<(MultiplexedConnection, u64), String> {
        loop {
            let mut changed = {
                let mut status = self.status();
                match &*status {
                    Status::Up { connection, generation } => return Ok((connection.clone(), *generation)),
                    Status::Down { until, reason, .. } if Instant::now() < *until => {
                        return Err(reason.clone());
                    }
                    Status::Connecting(changed) => changed.clone(),
                    Status::Down { failures, .. } | Status::Absent { failures } => {
                        let failures = *failures;
                        let (done, changed) = watch::channel(());
                        *status = Status::Connecting(changed.clone());
                        // Connect on a separate task, because the request that asks first may be cancelled.
                        tokio::spawn(self.clone().establish(
                            server.client.clone(),
                            server.name.clone(),
                            server.timeout,
                            failures,
                            done,
                        ));
                        changed
                    }
                }
            };
            // An error also means that the task is done.
            _ = changed.changed().await;
        }
    }

    async fn establish(
        self: Arc<Self>,
        client: Client,
        name: String,
        timeout: Duration,
        failures: u32,
        done: watch::Sender<()>,
    ) {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        *self.status() = match connect(&client, Some(timeout)).await {
            Ok((connection, driver)) => {
                let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
                let link = self.clone();
                tokio::spawn(async move {
                    // The driver ends as soon as the server closes the connection, so the next command makes a new one
                    // instead of using a broken one.
                    driver.await;
                    link.lost(generation);
                });
                Status::Up { connection, generation }
            }
            Err(error) => {
                let pause = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << failures.min(10)));
                let reason = format!("{name} can't be reached: {error}");
                if failures == 0 {
                    log::warn(None, &reason);
                }
                Status::Down { until: Instant::now() + pause, failures: failures.saturating_add(1), reason }
            }
        };
        drop(done);
    }

    /// Forgets a broken connection, unless a new one has already replaced it.
    fn lost(&self, broken: u64) {
        let mut status = self.status();
        if matches!(&*status, Status::Up { generation, .. } if *generation == broken) {
            *status = Status::Absent { failures: 0 };
        }
    }
}

/// Reads and writes a connection's bytes. Ends with the connection.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Opens a connection. It works only while its driver is polled.
async fn connect(
    client: &Client,
    response_timeout: Option<Duration>,
) -> Result<(MultiplexedConnection, Driver), RedisError> {
    let information = client.get_connection_info();
    let ConnectionAddr::Tcp(host, port) = information.addr() else {
        return Err((redis::ErrorKind::InvalidClientConfig, "only plain TCP is supported").into());
    };
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        let config = AsyncConnectionConfig::new().set_response_timeout(response_timeout);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(information.redis_settings(), stream, config).await?;
        Ok((connection, Box::pin(driver) as Driver))
    };
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Whether a connection can't be used any more. After a timeout it can't: all later replies on it would be late.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
}

/// A guest's handle.
#[derive(Clone)]
pub struct Connection {
    server: Arc<Server>,
    /// The handle's own connection, made for the first command that needs it.
    private: Arc<OnceCell<MultiplexedConnection>>,
}

impl Connection {
    /// A handle on a server.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, private: Arc::default() }
    }

    async fn run(&self, command: &Cmd) -> Result<Value, Error> {
        if let Some(connection) = self.private.get() {
            return self.run_private(connection.clone(), command).await;
        }
        if needs_own_connection(command) {
            // No timeout: a blocking command waits for as long as it says, and the request's timeout ends it.
            let opening = self.private.get_or_try_init(|| async {
                let (connection, driver) = connect(&self.server.client, None).await?;
                tokio::spawn(driver);
                Ok(connection)
            });
            let connection =
                opening.await.map_err(|error: RedisError| Error::Other(self.server.text(&error)))?;
            return self.run_private(connection.clone(), command).await;
        }
        self.server.run(command).await.map_err(Error::Other)
    }

    async fn run_private(
        &self,
        mut connection: MultiplexedConnection,
        command: &Cmd,
    ) -> Result<Value, Error> {
        let outcome = command.query_async::<Value>(&mut connection).await;
        outcome.map_err(|error| Error::Other(self.server.text(&error)))
    }

    async fn run_as<R: redis::FromRedisValue>(&self, command: &Cmd) -> Result<R, Error> {
        let value = self.run(command).await?;
        redis::from_redis_value(value).map_err(|_| Error::TypeError)
    }
}

/// Whether a command changes the connection's state or blocks it, and so must not run on a shared one.
fn needs_own_connection(command: &Cmd) -> bool {
    let mut arguments = command.args_iter().filter_map(|argument| match argument {
        redis::Arg::Simple(bytes) => Some(bytes),
        _ => None,
    });
    let Some(name) = arguments.next() else { return false };
    const STATEFUL: [&str; 26] = [
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH",
        "UNWATCH",
        "SELECT",
        "AUTH",
        "HELLO",
        "RESET",
        "QUIT",
        "CLIENT",
        "MONITOR",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SSUBSCRIBE",
        "SUNSUBSCRIBE",
        "WAIT",
        "WAITAOF",
        "ASKING",
        "READONLY",
        "READWRITE",
        "SYNC",
        "PSYNC",
        "REPLCONF",
    ];
    const BLOCKING: [&str; 9] =
        ["BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "XREADGROUP"];
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    STATEFUL.into_iter().chain(BLOCKING).any(is)
        || (is("XREAD") && arguments.any(|argument| argument.eq_ignore_ascii_case(b"BLOCK")))
}

/// Turns a reply into the list that the interface returns. Nested arrays become one list, in order.
///
/// # Errors
/// Fails if the reply is an error, or of a kind that the interface can't carry.
fn flatten(value: Value, results: &mut Vec<RedisResult>) -> Result<(), Error> {
    let unsupported = |kind: &str| Err(Error::Other(format!("a reply of the kind {kind} is not supported")));
    match value {
        Value::Nil => results.push(RedisResult::Nil),
        Value::Int(number) => results.push(RedisResult::Int64(number)),
        Value::BulkString(bytes) => results.push(RedisResult::Binary(bytes)),
        Value::SimpleString(text) => results.push(RedisResult::Status(text)),
        Value::Okay => results.push(RedisResult::Status("OK".to_owned())),
        Value::Boolean(flag) => results.push(RedisResult::Int64(flag.into())),
        Value::Double(number) => results.push(RedisResult::Binary(number.to_string().into_bytes())),
        Value::BigNumber(digits) => results.push(RedisResult::Binary(digits)),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| flatten(value, results));
        }
        Value::ServerError(error) => {
            let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
            return Err(Error::Other(text.trim_end().to_owned()));
        }
        Value::Map(_) => return unsupported("map"),
        Value::Attribute { .. } => return unsupported("attribute"),
        Value::VerbatimString { .. } => return unsupported("verbatim string"),
        Value::Push { .. } => return unsupported("push"),
        _ => return unsupported("unknown"),
    }
    Ok(())
}

impl Host for State {}

impl HostConnection for State {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

fn handle<T: Send>(
    accessor: &Accessor<T, Platform>,
    connection: &Resource<Connection>,
) -> wasmtime::Result<Connection> {
    accessor.with(|mut access| Ok(access.get().table.get(connection)?.clone()))
}

/// Runs a command for a guest and decodes its reply.
async fn command<T: Send, R: redis::FromRedisValue>(
    accessor: &Accessor<T, Platform>,
    connection: &Resource<Connection>,
    command: Cmd,
) -> wasmtime::Result<Result<R, Error>> {
    let connection = handle(accessor, connection)?;
    Ok(connection.run_as(&command).await)
}

fn cmd(name: &str, key: impl redis::ToRedisArgs) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

impl<T: Send> HostConnectionWithStore<T> for Platform {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        accessor.with(|mut access| {
            let state = access.get();
            let component = &state.component;
            let Some(destination) = Destination::parse(&address) else {
                return Ok(Err(Error::InvalidAddress));
            };
            if !component.allowed_hosts.allow(&destination) {
                log::warn(
                    Some(&component.id),
                    &format!(
                        "refused a connection to {destination}: add it to allowed_outbound_hosts to grant it"
                    ),
                );
                return Ok(Err(Error::InvalidAddress));
            }
            let Ok(server) = component.services.redis.server(&address) else {
                return Ok(Err(Error::InvalidAddress));
            };
            Ok(match state.table.push(Connection::new(server)) {
                Ok(connection) => Ok(connection),
                Err(_) => Err(Error::TooManyConnections),
            })
        })
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let mut publish = cmd("PUBLISH", channel);
        publish.arg(payload);
        let receivers = command::<_, i64>(accessor, &connection, publish).await?;
        Ok(receivers.map(|_| ()))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        command(accessor, &connection, cmd("GET", key)).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let mut set = cmd("SET", key);
        set.arg(value);
        command(accessor, &connection, set).await
    }

    async fn incr(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> wasmtime::Result<Result<i64, Error>> {
        command(accessor, &connection, cmd("INCR", key)).await
    }

    async fn del(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        command(accessor, &connection, cmd("DEL", keys)).await
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        let mut sadd = cmd("SADD", key);
        sadd.arg(values);
        command(accessor, &connection, sadd).await
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        command(accessor, &connection, cmd("SMEMBERS", key)).await
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        let mut srem = cmd("SREM", key);
        srem.arg(values);
        command(accessor, &connection, srem).await
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        name: String,
        arguments: Vec<RedisParameter>,
    ) -> wasmtime::Result<Result<Vec<RedisResult>, Error>> {
        let connection = handle(accessor, &connection)?;
        let mut command = redis::cmd(&name);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let value = match connection.run(&command).await {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let mut results = Vec::new();
        Ok(flatten(value, &mut results).map(|()| results))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_with_state_or_that_block_need_a_connection_of_their_own() {
        for (name, argument, own) in [
            ("multi", "x", true),
            ("BLPOP", "k", true),
            ("XREAD", "block", true),
            ("XREAD", "COUNT", false),
            ("EVALSHA", "MULTI", false),
            ("GET", "BLOCK", false),
        ] {
            assert_eq!(needs_own_connection(&cmd(name, argument)), own, "{name}");
        }
    }

    #[test]
    fn replies_are_flattened_in_order() {
        let reply = Value::Array(vec![
            Value::Okay,
            Value::Array(vec![Value::Int(1), Value::Nil]),
            Value::BulkString(b"x".to_vec()),
            Value::Double(1.5),
            Value::Boolean(true),
        ]);
        let mut results = Vec::new();
        flatten(reply, &mut results).unwrap();
        let shown: Vec<String> = results.iter().map(|result| format!("{result:?}")).collect();
        assert_eq!(
            shown.join(" "),
            "RedisResult::Status(\"OK\") RedisResult::Int64(1) RedisResult::Nil RedisResult::Binary([120]) \
             RedisResult::Binary([49, 46, 53]) RedisResult::Int64(1)"
        );
    }

    #[test]
    fn a_map_is_refused() {
        assert!(flatten(Value::Map(Vec::new()), &mut Vec::new()).is_err());
    }
}
