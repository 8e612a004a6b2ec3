//! The Redis of a run: a private server in the data folder, or a server of the operator, which we check.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::interrupt::{self, Interrupt};
use crate::{console, prerequisites, secrets};

/// The notifications that our functions need from Redis. The alarm is a key that expires.
const NOTIFICATIONS: &str = "Ex";
/// How long connecting, and each read and write, may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of `redis://[[user]:password@]host[:port][/database]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: u16,
}

impl Url {
    pub fn parse(text: &str) -> anyhow::Result<Url> {
        let rest = text
            .strip_prefix("redis://")
            .with_context(|| format!("`{}` is not a redis:// URL", without_credentials(text)))?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(
            matches!(database, "" | "0"),
            "Stampede uses Redis database 0, whose expiry channel it listens to; the URL names `{database}`"
        );
        let (credentials, place) = match address.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, address),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().with_context(|| format!("`{port}` is not a port"))?)
            }
            _ => (place, 6379),
        };
        ensure!(!host.is_empty(), "the Redis URL names no host");
        let (user, password) = match credentials.map(|pair| pair.split_once(':').unwrap_or(("", pair))) {
            Some((user, password)) => ((!user.is_empty()).then(|| decode(user)), Some(decode(password))),
            None => (None, None),
        };
        Ok(Url { user, password, host: host.to_owned(), port })
    }

    /// The URL without credentials and path: the form in which the outbound allow-list needs it.
    pub fn origin(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }
}

/// The part of a URL that messages may show. The part before an `@` is a secret.
fn without_credentials(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, place)| place)
}

/// Decodes percent-encoded credentials. Incomplete escapes stay as they are.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[index]));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Makes sure that a Redis which we did not start replies, and sends notifications of expired keys.
pub fn verify(url: &Url) -> anyhow::Result<()> {
    let mut connection = Connection::open(url)?;
    let current = match connection.command(&["CONFIG", "GET", "notify-keyspace-events"]) {
        Ok(Reply::Array(entries)) => match entries.get(1) {
            Some(Reply::Text(flags)) => flags.clone(),
            _ => String::new(),
        },
        Ok(_) => String::new(),
        Err(error) => {
            console::note(&format!(
                "Redis does not let us read its configuration ({error}); make sure that it has `notify-keyspace-events {NOTIFICATIONS}`"
            ));
            return Ok(());
        }
    };
    // `A` includes all kinds of events, also expiry.
    if current.contains('E') && current.contains(['x', 'A']) {
        return Ok(());
    }
    let wanted: String =
        current.chars().chain(NOTIFICATIONS.chars().filter(|flag| !current.contains(*flag))).collect();
    connection.command(&["CONFIG", "SET", "notify-keyspace-events", &wanted]).map(|_| ()).map_err(|error| {
        anyhow::anyhow!(
            "Redis at {} refuses to send notifications of expired keys ({error}); set `notify-keyspace-events {wanted}` there",
            url.origin()
        )
    })
}

/// A redis-server of our own, whose files are all in one folder.
pub struct Private {
    folder: PathBuf,
    url: Url,
    child: Child,
}

impl Private {
    /// Starts the server of this data folder. If an earlier run was killed and its server still runs, ends that first.
    pub fn start(data: &Path, interrupt: &Interrupt) -> anyhow::Result<Private> {
        let folder = data.join("redis");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let password = secrets::load_or_make(&data.join("secrets"), "redis_password")?;
        let last_port =
            std::fs::read_to_string(folder.join("port")).ok().and_then(|text| text.trim().parse().ok());
        let url_of =
            |port| Url { user: None, password: Some(password.clone()), host: "127.0.0.1".to_owned(), port };

        if let Some(port) = last_port {
            stop_leftover(&folder, &url_of(port), interrupt)?;
        }
        // Another program may take the port after we found it free and before Redis uses it. Then try another.
        for attempt in 0..10 {
            let port = match last_port.filter(|port| attempt == 0 && is_free(*port)) {
                Some(port) => port,
                None => free_port()?,
            };
            let url = url_of(port);
            write_configuration(&folder, &url)?;
            let mut server = Private { child: spawn(&folder)?, folder: folder.clone(), url };
            if server.wait_until_ready(interrupt)? {
                return Ok(server);
            }
        }
        bail!("redis-server does not start; its log is {}", folder.join("redis.log").display())
    }

    pub fn url(&self) -> String {
        format!(
            "redis://:{}@{}:{}",
            self.url.password.as_deref().unwrap_or_default(),
            self.url.host,
            self.url.port
        )
    }

    pub fn origin(&self) -> String {
        self.url.origin()
    }

    /// How the server ended, if it did.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Starts the server again on the same port and data. Returns `false` if it ended at once.
    pub fn restart(&mut self, interrupt: &Interrupt) -> anyhow::Result<bool> {
        self.child = spawn(&self.folder)?;
        self.wait_until_ready(interrupt)
    }

    /// Saves all data and ends the server.
    pub fn stop(mut self) -> anyhow::Result<()> {
        match Connection::open(&self.url) {
            // The server closes the connection instead of replying, so an error here means nothing.
            Ok(mut connection) => drop(connection.command(&["SHUTDOWN", "SAVE"])),
            Err(_) => interrupt::terminate(self.child.id()),
        }
        interrupt::wait_or_kill(&mut self.child, Duration::from_secs(30))?;
        Ok(())
    }

    /// Waits until the server has loaded its data. Returns `false` if it ended instead, or did not get ready in time.
    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> anyhow::Result<bool> {
        let url = self.url.clone();
        let child = &mut self.child;
        let ready = interrupt.poll(Duration::from_secs(120), || {
            if child.try_wait()?.is_some() {
                return Ok(Some(false));
            }
            let reply = Connection::open(&url).and_then(|mut connection| connection.command(&["PING"]));
            Ok(reply.is_ok().then_some(true))
        });
        if !matches!(ready, Ok(Some(true))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok(ready?.unwrap_or(false))
    }
}

/// Ends the server of an earlier run of this folder, if it still runs: two servers must not write the same files.
fn stop_leftover(folder: &Path, url: &Url, interrupt: &Interrupt) -> anyhow::Result<()> {
    let Ok(mut connection) = Connection::open(url) else { return Ok(()) };
    let expected = folder.to_string_lossy().into_owned();
    match connection.command(&["CONFIG", "GET", "dir"]) {
        Ok(Reply::Array(entries)) if entries.get(1) == Some(&Reply::Text(expected)) => {}
        _ => return Ok(()),
    }
    let _ = connection.command(&["SHUTDOWN", "SAVE"]);
    let gone = interrupt.poll(Duration::from_secs(30), || Ok(is_free(url.port).then_some(())))?;
    ensure!(gone.is_some(), "a redis-server of an earlier run does not end; it listens on port {}", url.port);
    Ok(())
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let program = prerequisites::find("redis-server").context("redis-server is not installed")?;
    Command::new(program)
        .arg(folder.join("redis.conf"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C should reach only us. We stop Redis last, when the host has finished.
        .process_group(0)
        .spawn()
        .context("cannot start redis-server")
}

fn write_configuration(folder: &Path, url: &Url) -> anyhow::Result<()> {
    let folder_text = folder.to_str().context("the data folder's name is not UTF-8")?;
    let quoted = folder_text.replace('\\', "\\\\").replace('"', "\\\"");
    let password = url.password.as_deref().unwrap_or_default();
    let port = url.port;
    secrets::write_private(
        &folder.join("redis.conf"),
        &format!(
            "# Written by `cargo xtask up` at every start.\n\
             bind 127.0.0.1\nport {port}\nrequirepass {password}\n\
             dir \"{quoted}\"\nlogfile \"redis.log\"\ndaemonize no\n\
             # What was answered is on the disk. With everysec a slow disk holds writes back for up to two seconds, and they\n\
             # are lost even if only Redis crashes.\n\
             appendonly yes\nappendfsync always\nsave \"\"\n\
             # The alarm is a key that expires. Redis must not evict keys when memory runs out.\n\
             notify-keyspace-events {NOTIFICATIONS}\nmaxmemory-policy noeviction\n"
        ),
    )?;
    secrets::write_private(&folder.join("port"), &port.to_string())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// A port that the system says is free now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A reply of Redis.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Text(String),
    Number(i64),
    Array(Vec<Reply>),
}

/// A connection without TLS, for the few administrative commands that xtask sends.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(url: &Url) -> anyhow::Result<Connection> {
        let failure = || format!("can't reach Redis at {}", url.origin());
        let host = url.host.trim_start_matches('[').trim_end_matches(']');
        let address =
            (host, url.port).to_socket_addrs().with_context(failure)?.next().with_context(failure)?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(failure)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut connection = Connection { stream: BufReader::new(stream) };
        match (&url.user, &url.password) {
            (Some(user), Some(password)) => connection.command(&["AUTH", user, password]),
            (None, Some(password)) => connection.command(&["AUTH", password]),
            _ => connection.command(&["PING"]),
        }
        .with_context(|| format!("Redis at {} refuses us", url.origin()))?;
        Ok(connection)
    }

    /// Sends one command and reads its reply. An error reply of Redis is returned as an error.
    pub fn command(&mut self, words: &[&str]) -> anyhow::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        let rest = line.get(1..).context("Redis closed the connection")?;
        match line.as_bytes()[0] {
            b'+' => Ok(Reply::Text(rest.to_owned())),
            b'-' => bail!("{rest}"),
            b':' => Ok(Reply::Number(rest.parse()?)),
            b'$' => {
                let Ok(length) = rest.parse::<usize>() else { return Ok(Reply::Nil) };
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                Ok(Reply::Text(String::from_utf8_lossy(&bytes[..length]).into_owned()))
            }
            b'*' => {
                let Ok(count) = rest.parse::<usize>() else { return Ok(Reply::Nil) };
                (0..count).map(|_| self.reply()).collect::<anyhow::Result<_>>().map(Reply::Array)
            }
            _ => bail!("this is not Redis: it replied `{line}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn a_url_is_split_into_its_parts() {
        let url = Url::parse("redis://shop:p%40ss@example.org:7000/0").unwrap();
        assert_eq!(url.user.as_deref(), Some("shop"));
        assert_eq!(url.password.as_deref(), Some("p@ss"));
        assert_eq!(url.origin(), "redis://example.org:7000");
        assert_eq!(Url::parse("redis://:secret@127.0.0.1").unwrap().password.as_deref(), Some("secret"));
        assert_eq!(Url::parse("redis://localhost").unwrap().origin(), "redis://localhost:6379");
        assert_eq!(Url::parse("redis://[::1]:7001").unwrap().origin(), "redis://[::1]:7001");
    }

    #[test]
    fn unfit_urls_are_refused_without_showing_a_password() {
        let message = Url::parse("http://shop:hidden@example.org").unwrap_err().to_string();
        assert!(!message.contains("hidden"), "{message}");
        assert!(Url::parse("redis://example.org/3").is_err());
        assert!(Url::parse("redis://").is_err());
    }
}
