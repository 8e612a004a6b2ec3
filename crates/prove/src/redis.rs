//! A private redis-server, and a client that can watch, lie about the time, replace a script, and die.
//!
//! The client is blocking and speaks RESP3 over a Unix socket: what the scripts publish comes on the same connection
//! as their replies, so that no message is late. It needs no async runtime, because none of its futures ever waits.

use sale::store::{Redis, RedisError, Reply};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{bail, ensure};
use testkit::Process;

/// Runs a future that never waits.
pub fn now<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("the client blocks instead of waiting"),
    }
}

/// A redis-server of its own on a socket in a temporary folder; both go when this is dropped.
pub struct Server {
    // Dropped first: the server still writes to the folder.
    process: Process,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> anyhow::Result<Server> {
        let folder = tempfile::Builder::new().prefix("stampede-prove-").tempdir()?;
        // No port at all: a socket in a folder of our own can be nobody else's.
        let mut command = Command::new(testkit::program("redis-server"));
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(folder.path().join("redis.sock"))
            .arg("--dir")
            .arg(folder.path());
        let process = Process::start(&mut command, &folder.path().join("redis.log"));
        let mut server = Server { process, folder };
        let is_up = testkit::eventually_blocking("redis-server answers", Duration::from_secs(60), || {
            if server.process.ended().is_some() {
                return Some(false);
            }
            server.stream().is_ok().then_some(true)
        });
        ensure!(is_up, "redis-server does not start:\n{}", server.process.last_words());
        Ok(server)
    }

    fn stream(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.folder.path().join("redis.sock"))
    }

    /// A client that runs the scripts as they are, but for `defects`.
    pub fn connect(&self, defects: &[Defect]) -> anyhow::Result<Client> {
        let client = Client {
            stream: RefCell::new(BufReader::with_capacity(1 << 16, self.stream()?)),
            replaced: RefCell::default(),
            clock: Cell::new(0),
            calls_left: Cell::new(None),
            heard: RefCell::default(),
            follow: RefCell::default(),
            followed: RefCell::default(),
        };
        client.plain(&["HELLO", "3"])?;
        for channel in [sale::keys::GRANT_DOORBELL, sale::keys::LEDGER_DOORBELL] {
            client.plain(&["SUBSCRIBE", channel])?;
        }
        let scripts = || sale::scripts::ALL.iter().chain(provider_simulation::ALL);
        for script in scripts() {
            let mut source = script.source();
            for defect in defects.iter().filter(|defect| defect.script == script.name) {
                // The last one: a script's own text stands behind what it shares with others.
                let Some(at) = source.rfind(&defect.from) else {
                    bail!("{} has no `{}`", script.name, defect.from);
                };
                source.replace_range(at..at + defect.from.len(), &defect.to);
            }
            let replies = client.plain(&["SCRIPT", "LOAD", &source])?;
            let Some(sha) = replies.first().and_then(Reply::text) else {
                bail!("SCRIPT LOAD names no script")
            };
            if sha != script.sha() {
                client.replaced.borrow_mut().insert(script.sha().to_owned(), sha.into_owned());
            }
        }
        for defect in defects {
            ensure!(
                scripts().any(|script| script.name == defect.script),
                "no script is called {}",
                defect.script
            );
        }
        Ok(client)
    }
}

/// A deliberate defect: in the text of `script`, `from` becomes `to`, once.
#[derive(Debug, Clone)]
pub struct Defect {
    pub script: String,
    pub from: String,
    pub to: String,
}

/// A connection that runs the engine's commands.
pub struct Client {
    stream: RefCell<BufReader<UnixStream>>,
    /// Scripts with a defect: the name that the engine knows, and the name of what is run instead.
    replaced: RefCell<HashMap<String, String>>,
    clock: Cell<i64>,
    calls_left: Cell<Option<u32>>,
    heard: RefCell<Vec<String>>,
    follow: RefCell<Option<(Vec<u8>, usize)>>,
    followed: RefCell<Vec<Vec<Reply>>>,
}

impl Client {
    /// `TIME` answers this moment from now on, in milliseconds.
    pub fn set_clock(&self, now: i64) {
        self.clock.set(now);
    }

    /// The process dies after so many more commands; nothing for never.
    pub fn die_after(&self, commands: Option<u32>) {
        self.calls_left.set(commands);
    }

    /// Sends these commands, already written by [`write`], right behind the next script, in the same round trip.
    pub fn look_after_next(&self, commands: Vec<u8>, count: usize) {
        *self.follow.borrow_mut() = Some((commands, count));
    }

    /// What the commands of [`Client::look_after_next`] answered. Where no script was run since, they run now.
    pub fn looked(&self) -> anyhow::Result<Vec<Vec<Reply>>> {
        if let Some((commands, count)) = self.follow.borrow_mut().take() {
            let mut stream = self.stream.borrow_mut();
            stream.get_mut().write_all(&commands)?;
            for _ in 0..count {
                let replies = self.reply(&mut stream)??;
                self.followed.borrow_mut().push(replies);
            }
        }
        Ok(std::mem::take(&mut *self.followed.borrow_mut()))
    }

    /// The doorbells that rang since this was asked last: their channels.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.borrow_mut())
    }

    /// Runs a command that is no step of the engine.
    pub fn plain(&self, words: &[&str]) -> anyhow::Result<Vec<Reply>> {
        let mut request = Vec::new();
        write(&mut request, words);
        let mut stream = self.stream.borrow_mut();
        stream.get_mut().write_all(&request)?;
        Ok(self.reply(&mut stream)??)
    }

    /// Reads one reply, flat, and keeps the messages that come before it.
    fn reply(&self, stream: &mut BufReader<UnixStream>) -> std::io::Result<Result<Vec<Reply>, RedisError>> {
        loop {
            let mut flat = Vec::new();
            match read(stream, &mut flat)? {
                Kind::Message => {
                    if let Some(Reply::Binary(channel)) = flat.get(1)
                        && flat.first().and_then(Reply::text).as_deref() == Some("message")
                    {
                        self.heard.borrow_mut().push(String::from_utf8_lossy(channel).into_owned());
                    } else {
                        // A subscription is confirmed by a message instead of a reply.
                        return Ok(Ok(flat));
                    }
                }
                Kind::Error(text) => return Ok(Err(RedisError::from_text(text))),
                Kind::Value => return Ok(Ok(flat)),
            }
        }
    }

    fn call(&self, command: &str, arguments: &[&[u8]]) -> std::io::Result<Result<Vec<Reply>, RedisError>> {
        let mut request = Vec::with_capacity(1024);
        begin(&mut request, arguments.len() + 1);
        push(&mut request, command.as_bytes());
        let replaced = self.replaced.borrow();
        for (at, argument) in arguments.iter().enumerate() {
            let instead = (at == 0 && command == "EVALSHA" && !replaced.is_empty())
                .then(|| replaced.get(std::str::from_utf8(argument).unwrap_or_default()))
                .flatten();
            push(&mut request, instead.map_or(argument, |sha| sha.as_bytes()));
        }
        let follow = if command == "EVALSHA" { self.follow.borrow_mut().take() } else { None };
        if let Some((commands, _)) = &follow {
            request.extend_from_slice(commands);
        }
        let mut stream = self.stream.borrow_mut();
        stream.get_mut().write_all(&request)?;
        let reply = self.reply(&mut stream)?;
        for _ in 0..follow.map_or(0, |(_, count)| count) {
            let replies = self.reply(&mut stream)?.map_err(std::io::Error::other)?;
            self.followed.borrow_mut().push(replies);
        }
        Ok(reply)
    }
}

impl Redis for Client {
    async fn execute(&self, command: &str, arguments: &[&[u8]]) -> Result<Vec<Reply>, RedisError> {
        if let Some(left) = self.calls_left.get() {
            if left == 0 {
                return Err(RedisError::Unavailable("the process has died".to_owned()));
            }
            self.calls_left.set(Some(left - 1));
        }
        if command == "TIME" {
            let now = self.clock.get();
            return Ok(vec![Reply::Int(now / 1_000), Reply::Int(now % 1_000 * 1_000)]);
        }
        self.call(command, arguments).unwrap_or_else(|error| Err(RedisError::Unavailable(error.to_string())))
    }
}

/// Writes one command.
pub fn write(request: &mut Vec<u8>, words: &[&str]) {
    begin(request, words.len());
    for word in words {
        push(request, word.as_bytes());
    }
}

fn begin(request: &mut Vec<u8>, words: usize) {
    let _ = write!(request, "*{words}\r\n");
}

fn push(request: &mut Vec<u8>, word: &[u8]) {
    let _ = write!(request, "${}\r\n", word.len());
    request.extend_from_slice(word);
    request.extend_from_slice(b"\r\n");
}

enum Kind {
    Value,
    Message,
    Error(String),
}

/// Reads one value of RESP3, nested ones flat.
fn read(stream: &mut BufReader<UnixStream>, flat: &mut Vec<Reply>) -> std::io::Result<Kind> {
    let mut line = Vec::with_capacity(32);
    stream.read_until(b'\n', &mut line)?;
    let text = std::str::from_utf8(&line).map_err(std::io::Error::other)?.trim_end();
    let Some(kind) = text.chars().next() else {
        return Err(std::io::Error::other("redis-server closed the connection"));
    };
    let rest = &text[1..];
    let number = || rest.parse::<i64>().map_err(std::io::Error::other);
    match kind {
        '_' => flat.push(Reply::Nil),
        ':' => flat.push(Reply::Int(number()?)),
        '+' => flat.push(Reply::Status(rest.to_owned())),
        '#' => flat.push(Reply::Int(i64::from(rest == "t"))),
        ',' => flat.push(Reply::Binary(rest.as_bytes().to_vec())),
        '-' => return Ok(Kind::Error(rest.to_owned())),
        '$' => {
            let Ok(length) = usize::try_from(number()?) else {
                flat.push(Reply::Nil);
                return Ok(Kind::Value);
            };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            flat.push(Reply::Binary(bytes));
        }
        '*' | '~' | '%' | '>' => {
            let count = number()? * if kind == '%' { 2 } else { 1 };
            for _ in 0..count {
                read(stream, flat)?;
            }
            if kind == '>' {
                return Ok(Kind::Message);
            }
        }
        other => return Err(std::io::Error::other(format!("RESP3 has no `{other}`"))),
    }
    Ok(Kind::Value)
}
