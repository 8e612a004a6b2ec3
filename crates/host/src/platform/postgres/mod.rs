//! `spin:postgres`: statements to granted PostgreSQL servers, without TLS.
//!
//! A guest's handle has a connection of its own until it is dropped, so a transaction belongs to one handle. Then the
//! connection is kept for the next handle. But if it has an open transaction or changed settings it is closed, and the
//! server rolls back.

#![allow(clippy::result_large_err, reason = "the interface defines the error, and failures need not be fast")]

mod values;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_postgres::config::Host as ServerHost;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use self::values::{Parameter, data_type, row_values};
use crate::allowed_hosts::Destination;
use crate::bindings::spin::postgres::postgres::{
    Column, DbError, DbValue, Error, Host, HostConnection, HostConnectionBuilder,
    HostConnectionBuilderWithStore, HostConnectionWithStore, ParameterValue, QueryError, RowSet,
};
use crate::log;
use crate::state::{Platform, State};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections to one address. Beyond it, opening waits.
const CONNECTIONS: usize = 64;
/// How many idle connections to one address stay open for the next handle.
const IDLE_CONNECTIONS: usize = 8;

/// All PostgreSQL servers that components talk to.
#[derive(Default)]
pub struct Servers {
    by_address: Mutex<HashMap<String, Arc<Server>>>,
}

impl Servers {
    fn server(&self, address: &str, config: Config) -> Arc<Server> {
        let mut servers = self.by_address.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        servers.entry(address.to_owned()).or_insert_with(|| Arc::new(Server::new(config))).clone()
    }
}

struct Server {
    config: Config,
    idle: Mutex<Vec<Client>>,
    permits: Arc<tokio::sync::Semaphore>,
}

impl Server {
    fn new(mut config: Config) -> Self {
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        Self { config, idle: Mutex::default(), permits: Arc::new(tokio::sync::Semaphore::new(CONNECTIONS)) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn lease(self: Arc<Self>) -> Result<Lease, Error> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|error| Error::ConnectionFailed(error.to_string()))?;
        let idle = {
            let mut idle = self.idle();
            idle.retain(|client| !client.is_closed());
            idle.pop()
        };
        let client = match idle {
            Some(client) => client,
            None => {
                let connecting = self.config.connect(NoTls).await;
                let (client, connection) =
                    connecting.map_err(|error| Error::ConnectionFailed(text(&error)))?;
                // The task ends with the client or the server. If the server ends, the guest's next statement fails.
                tokio::spawn(connection);
                client
            }
        };
        Ok(Lease {
            server: self,
            client: Some(client),
            altered: AtomicBool::new(false),
            open: AtomicBool::new(false),
            _permit: permit,
        })
    }
}

/// A connection that a guest's handle uses.
struct Lease {
    server: Arc<Server>,
    client: Option<Client>,
    /// Whether the guest changed the session's settings, locks or temporary tables. Then no other handle may get it.
    altered: AtomicBool,
    /// Whether a transaction is open.
    open: AtomicBool,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Lease {
    fn client(&self) -> Result<&Client, Error> {
        self.client.as_ref().ok_or_else(|| Error::Other("the connection is closed".to_owned()))
    }

    /// Notes what a statement leaves on the connection.
    fn note(&self, statement: &str) {
        match Trace::of(statement) {
            Trace::None => {}
            Trace::Opens => self.open.store(true, Ordering::Relaxed),
            Trace::Closes => self.open.store(false, Ordering::Relaxed),
            Trace::Alters => self.altered.store(true, Ordering::Relaxed),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let clean = !self.altered.load(Ordering::Relaxed)
            && !self.open.load(Ordering::Relaxed)
            && !client.is_closed();
        let mut idle = self.server.idle();
        if clean && idle.len() < IDLE_CONNECTIONS {
            idle.push(client);
        }
    }
}

/// What a statement leaves on its connection: nothing, an open or closed transaction, or a changed session.
#[derive(Debug, PartialEq, Eq)]
enum Trace {
    None,
    Opens,
    Closes,
    Alters,
}

impl Trace {
    fn of(statement: &str) -> Self {
        let upper = statement.trim_start().to_ascii_uppercase();
        let mut words =
            upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("BEGIN", _) | ("START", "TRANSACTION") => Self::Opens,
            ("ROLLBACK", "TO") | ("SAVEPOINT" | "RELEASE", _) => Self::None,
            ("COMMIT" | "END" | "ROLLBACK" | "ABORT", _) => Self::Closes,
            // Settings, session locks and temporary tables outlive a statement. Unknown statements may change them.
            (
                "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES" | "CREATE" | "ALTER" | "DROP"
                | "TRUNCATE",
                _,
            ) if !["SET_CONFIG", "ADVISORY", "TEMP"].iter().any(|word| upper.contains(word)) => Self::None,
            _ => Self::Alters,
        }
    }
}

/// A guest's handle.
#[derive(Clone)]
pub struct Connection(Arc<Lease>);

impl Connection {
    async fn query(&self, statement: &str, parameters: &[ParameterValue]) -> Result<RowSet, Error> {
        self.0.note(statement);
        let client = self.0.client()?;
        let prepared = client.prepare(statement).await.map_err(|error| failed(&error))?;
        let columns = prepared
            .columns()
            .iter()
            .map(|column| Column { name: column.name().to_owned(), data_type: data_type(column.type_()) })
            .collect();
        let parameters: Vec<Parameter> = parameters.iter().map(Parameter).collect();
        let found =
            client.query(&prepared, &references(&parameters)).await.map_err(|error| failed(&error))?;
        let rows =
            found.iter().map(row_values).collect::<Result<_, _>>().map_err(Error::ValueConversionFailed)?;
        Ok(RowSet { columns, rows })
    }

    async fn execute(&self, statement: &str, parameters: &[ParameterValue]) -> Result<u64, Error> {
        self.0.note(statement);
        let parameters: Vec<Parameter> = parameters.iter().map(Parameter).collect();
        let done = self.0.client()?.execute(statement, &references(&parameters)).await;
        done.map_err(|error| failed(&error))
    }
}

fn references<'a>(parameters: &'a [Parameter<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect()
}

fn failed(error: &tokio_postgres::Error) -> Error {
    let as_text = text(error);
    let Some(details) = error.as_db_error() else {
        return match as_text.contains(values::BAD_PARAMETER) {
            true => Error::BadParameter(as_text),
            false => Error::QueryFailed(QueryError::Text(as_text)),
        };
    };
    let extras = [
        ("hint", details.hint().map(str::to_owned)),
        ("schema", details.schema().map(str::to_owned)),
        ("table", details.table().map(str::to_owned)),
        ("column", details.column().map(str::to_owned)),
        ("datatype", details.datatype().map(str::to_owned)),
        ("constraint", details.constraint().map(str::to_owned)),
        ("where_", details.where_().map(str::to_owned)),
        ("file", details.file().map(str::to_owned)),
        ("line", details.line().map(|line| line.to_string())),
        ("routine", details.routine().map(str::to_owned)),
    ];
    Error::QueryFailed(QueryError::DbError(DbError {
        as_text,
        severity: details.severity().to_owned(),
        code: details.code().code().to_owned(),
        message: details.message().to_owned(),
        detail: details.detail().map(str::to_owned),
        extras: extras.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    }))
}

/// The error's message and its cause, which the library's message leaves out.
fn text(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The description of a connection that a guest is about to open.
pub struct Builder {
    address: String,
    with_certificate: bool,
}

impl State {
    /// The server at an address.
    ///
    /// # Errors
    /// Fails if the address is invalid, or if the component may not connect to it.
    fn postgres(&self, address: &str) -> Result<Arc<Server>, Error> {
        let config: Config =
            address.parse().map_err(|_| Error::ConnectionFailed("the address is invalid".to_owned()))?;
        for destination in destinations(&config)? {
            if !self.component.allowed_hosts.allow(&destination) {
                let message = format!("the address {destination} is not permitted");
                log::warn(
                    Some(&self.component.id),
                    &format!(
                        "refused a connection to {destination}: add it to allowed_outbound_hosts to grant it"
                    ),
                );
                return Err(Error::ConnectionFailed(message));
            }
        }
        Ok(self.component.services.postgres.server(address, config))
    }

    fn postgres_connection(&self, connection: &Resource<Connection>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(connection)?.clone())
    }

    fn push_postgres(&mut self, lease: Lease) -> Result<Resource<Connection>, Error> {
        let connection = Connection(Arc::new(lease));
        self.table
            .push(connection)
            .map_err(|_| Error::ConnectionFailed("too many connections opened".to_owned()))
    }

    async fn open_postgres(&mut self, address: &str) -> Result<Resource<Connection>, Error> {
        let lease = self.postgres(address)?.lease().await?;
        self.push_postgres(lease)
    }

    fn built(&self, builder: &Resource<Builder>) -> wasmtime::Result<Result<String, Error>> {
        let builder = self.table.get(builder)?;
        Ok(match builder.with_certificate {
            true => Err(Error::ConnectionFailed("this host does not support TLS to PostgreSQL".to_owned())),
            false => Ok(builder.address.clone()),
        })
    }
}

/// Every place that the library may connect to for this address.
///
/// # Errors
/// Fails if the address leads to a socket file, or nowhere.
fn destinations(config: &Config) -> Result<Vec<Destination>, Error> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let port_of = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let at = |host: String, index| Destination {
        scheme: "postgres".to_owned(),
        host: host.to_lowercase(),
        port: Some(port_of(index)),
    };
    let mut destinations = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let ServerHost::Tcp(host) = host else {
            return Err(Error::ConnectionFailed("a socket file is not permitted".to_owned()));
        };
        destinations.push(at(host.clone(), index));
    }
    // The library connects to `hostaddr` in place of `host`, so the address needs a grant of its own.
    for (index, address) in addresses.iter().enumerate() {
        destinations.push(at(address.to_string(), index));
    }
    if destinations.is_empty() {
        return Err(Error::ConnectionFailed("the address names no host".to_owned()));
    }
    Ok(destinations)
}

impl Host for State {}

impl HostConnectionBuilder for State {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<Builder>> {
        Ok(self.table.push(Builder { address, with_certificate: false })?)
    }

    async fn set_ca_root(
        &mut self,
        builder: Resource<Builder>,
        _: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.table.get_mut(&builder)?.with_certificate = true;
        Ok(Ok(()))
    }

    async fn build(
        &mut self,
        builder: Resource<Builder>,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match self.built(&builder)? {
            Ok(address) => Ok(self.open_postgres(&address).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn drop(&mut self, builder: Resource<Builder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

/// The blocking functions, which hold up their whole instance. The SDK uses the asynchronous ones below.
impl HostConnection for State {
    async fn open(&mut self, address: String) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        Ok(self.open_postgres(&address).await)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        Ok(self.postgres_connection(&connection)?.query(&statement, &parameters).await)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        Ok(self.postgres_connection(&connection)?.execute(&statement, &parameters).await)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

async fn open<T: Send>(
    accessor: &Accessor<T, Platform>,
    address: &str,
) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
    let server = match accessor.with(|mut access| access.get().postgres(address)) {
        Ok(server) => server,
        Err(error) => return Ok(Err(error)),
    };
    let lease = server.lease().await;
    Ok(lease.and_then(|lease| accessor.with(|mut access| access.get().push_postgres(lease))))
}

impl<T: Send> HostConnectionBuilderWithStore<T> for Platform {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<Builder>,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match accessor.with(|mut access| access.get().built(&builder))? {
            Ok(address) => open(accessor, &address).await,
            Err(error) => Ok(Err(error)),
        }
    }
}

type Rows = (Vec<Column>, StreamReader<Vec<DbValue>>, FutureReader<Result<(), Error>>);

impl<T: Send> HostConnectionWithStore<T> for Platform {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        open(accessor, &address).await
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let connection = accessor.with(|mut access| access.get().postgres_connection(&connection))?;
        let found = match connection.query(&statement, &parameters).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, found.rows)?;
            // All rows are already in memory, so the stream can't fail.
            let outcome = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok(Ok((found.columns, rows, outcome)))
        })
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let connection = accessor.with(|mut access| access.get().postgres_connection(&connection))?;
        Ok(connection.execute(&statement, &parameters).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_an_address_leads_to_needs_a_grant() {
        for (address, places) in [
            ("postgres://u:p@Db.Example:6000/x", "postgres://db.example:6000"),
            ("postgres://db/x?hostaddr=10.0.0.7", "postgres://db:5432 postgres://10.0.0.7:5432"),
            ("postgres:///x?hostaddr=10.0.0.7&port=6000", "postgres://10.0.0.7:6000"),
            ("postgres://db/x?host=other", "postgres://db:5432 postgres://other:5432"),
            ("postgres://a:1,b:2/x", "postgres://a:1 postgres://b:2"),
            (
                "host=a,b hostaddr=10.0.0.7,::1 port=9",
                "postgres://a:9 postgres://b:9 postgres://10.0.0.7:9 postgres://::1:9",
            ),
        ] {
            let config: Config = address.parse().unwrap();
            let found: Vec<String> =
                destinations(&config).unwrap().iter().map(Destination::to_string).collect();
            assert_eq!(found.join(" "), places, "{address}");
        }
        for nowhere in
            ["postgres:///x", "postgres:///x?host=/run/postgresql", "postgres://%2Frun%2Fpostgresql/x"]
        {
            let config: Config = nowhere.parse().unwrap();
            assert!(destinations(&config).is_err(), "{nowhere}");
        }
    }

    #[test]
    fn a_statement_that_changes_the_session_or_its_transaction_is_recognised() {
        for (statement, trace) in [
            ("SELECT 1", Trace::None),
            ("  insert into t values (1)", Trace::None),
            ("begin", Trace::Opens),
            ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Trace::Opens),
            ("COMMIT;", Trace::Closes),
            ("rollback to savepoint a", Trace::None),
            ("SET search_path = x", Trace::Alters),
            ("SELECT pg_advisory_lock(1)", Trace::Alters),
            ("CREATE TEMP TABLE t (x int)", Trace::Alters),
            ("LISTEN x", Trace::Alters),
        ] {
            assert_eq!(Trace::of(statement), trace, "{statement}");
        }
    }
}
