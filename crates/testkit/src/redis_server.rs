//! A redis-server of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::Client;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::Signal;
#[cfg(feature = "engine")]
use crate::connection::Connection;
use crate::connection::Listener;
use crate::process::{Process, free_port};
use crate::{eventually, program};

/// What the server keeps on disk when it is killed.
#[derive(Clone, Copy)]
pub enum AppendOnly {
    /// Nothing.
    Off,
    /// All but the last second.
    EverySecond,
    /// Every write that it has replied to.
    Always,
}

/// A running server with a folder of its own. Dropping it ends the server and removes the folder.
pub struct RedisServer {
    // Dropped first: the server still writes to the folder.
    process: Process,
    client: Client,
    address: Address,
    append_only: AppendOnly,
    folder: TempDir,
}

/// Where the server listens.
#[derive(Clone)]
enum Address {
    /// A socket in the server's own folder, which no other test can take.
    Socket(PathBuf),
    /// A port of the loopback, for clients in other processes.
    Port(u16),
}

impl RedisServer {
    /// A server that only this process speaks to.
    pub async fn on_socket(append_only: AppendOnly) -> RedisServer {
        let folder = new_folder();
        let address = Address::Socket(folder.path().join("redis.sock"));
        RedisServer::start(folder, address, append_only).await.expect("redis-server starts")
    }

    /// A server that a host or a browser can reach, too.
    pub async fn on_port(append_only: AppendOnly) -> RedisServer {
        // Another process may take the port between our look and Redis's; then we look again.
        for _ in 0..20 {
            let address = Address::Port(free_port());
            if let Ok(server) = RedisServer::start(new_folder(), address, append_only).await {
                return server;
            }
        }
        panic!("redis-server does not start on any port");
    }

    /// Fails with the end of the server's log when the server ends instead of serving.
    async fn start(
        folder: TempDir,
        address: Address,
        append_only: AppendOnly,
    ) -> Result<RedisServer, String> {
        let client = Client::open(address.url()).expect("our own URL is right");
        let process = spawn(folder.path(), &address, append_only);
        let mut server = RedisServer { process, client, address, append_only, folder };
        if server.is_ready().await { Ok(server) } else { Err(server.last_words()) }
    }

    pub fn url(&self) -> String {
        self.address.url()
    }

    /// The port of a server that was started on one.
    pub fn port(&self) -> u16 {
        match self.address {
            Address::Port(port) => port,
            Address::Socket(_) => panic!("this server has no port"),
        }
    }

    /// A connection that sees replies as the engine does.
    #[cfg(feature = "engine")]
    pub async fn connect(&self) -> Connection {
        Connection::open(&self.client).await
    }

    /// As many connections as a crowd of function instances would hold.
    #[cfg(feature = "engine")]
    pub async fn connect_many(&self, count: usize) -> Vec<Connection> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await);
        }
        connections
    }

    /// Hears what is published on `channels` from now on.
    pub async fn listen(&self, channels: &[&str]) -> Listener {
        Listener::open(&self.client, channels).await
    }

    /// The client library's own connection, to look inside or to break something.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.client.get_multiplexed_async_connection().await.expect("our own Redis answers")
    }

    /// Runs one command on a connection of its own; panics on an error reply.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connection().await).await.expect("the command is right")
    }

    /// SIGKILL: Redis flushes nothing and tells no client.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGSTOP: it keeps its connections and does nothing until [`RedisServer::go_on`].
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Kills it, if it still runs, and starts it again where it was, on what its append-only file holds.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(self.folder.path(), &self.address, self.append_only);
        assert!(self.is_ready().await, "redis-server does not start again:\n{}", self.last_words());
    }

    /// Keeps a copy of all that it has on disk, as a backup would, and goes on.
    pub async fn save_copy(&mut self, to: &Path) {
        self.process.kill9();
        copy_folder(&self.append_only_folder(), to);
        self.restart().await;
    }

    /// SIGKILL, and started again on the copy in place of what it had.
    pub async fn come_back_with(&mut self, copy: &Path) {
        self.process.kill9();
        let folder = self.append_only_folder();
        std::fs::remove_dir_all(&folder).expect("Redis had its append-only files");
        copy_folder(copy, &folder);
        self.restart().await;
    }

    /// The disk has no room for another byte of the append-only file, until [`RedisServer::empty_disk`].
    pub fn fill_disk(&self) {
        let files = std::fs::read_dir(self.append_only_folder()).expect("Redis has its append-only files");
        let sizes = files.map(|file| file.and_then(|file| file.metadata()).expect("a file has a size").len());
        // The file that grows has this size already. With one byte more, Redis could still write half a command.
        self.process.limit_file_size(Some(sizes.max().expect("there is a file that grows")));
    }

    /// There is room again.
    pub fn empty_disk(&self) {
        self.process.limit_file_size(None);
    }

    /// There is room again. A server that ended because it could not write is started again, as by a supervisor.
    pub async fn empty_disk_and_go_on(&mut self) {
        if self.process.ended().is_some() {
            self.restart().await;
        } else {
            self.empty_disk();
        }
    }

    /// Waits until everything that it has taken is on its disk.
    pub async fn written(&self) {
        eventually("Redis has written everything", Duration::from_secs(30), async || {
            let information: redis::InfoDict = self.command(&["INFO", "persistence"]).await;
            let is_none = |name: &str| information.get::<i64>(name) == Some(0);
            let is_well = information.get::<String>("aof_last_write_status")? == "ok";
            (is_none("aof_buffer_length") && is_none("aof_pending_bio_fsync") && is_well).then_some(())
        })
        .await
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    fn append_only_folder(&self) -> PathBuf {
        self.folder.path().join("appendonlydir")
    }

    /// Whether it came up and has loaded its data; `false` when it ended instead.
    async fn is_ready(&mut self) -> bool {
        eventually("redis-server answers", Duration::from_secs(60), async || {
            if self.process.ended().is_some() {
                return Some(false);
            }
            let mut connection = self.client.get_multiplexed_async_connection().await.ok()?;
            // While it still loads its data, it accepts connections but refuses commands that need data.
            redis::cmd("DBSIZE").exec_async(&mut connection).await.is_ok().then_some(true)
        })
        .await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- redis-server at {}\n{}\n---", self.url(), self.last_words());
        }
    }
}

impl Address {
    fn url(&self) -> String {
        match self {
            Address::Socket(path) => format!("redis+unix://{}", path.display()),
            Address::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }
}

fn new_folder() -> TempDir {
    TempDir::with_prefix("stampede-redis-").expect("a temporary folder")
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a test's folder is writable");
    for file in std::fs::read_dir(from).expect("Redis has its append-only files") {
        let file = file.expect("a folder can be read");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

fn spawn(folder: &Path, address: &Address, append_only: AppendOnly) -> Process {
    // A write beyond the process's file size limit is to fail, as on a full disk, instead of ending the program.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(program("redis-server"))
        .args(["--daemonize", "no", "--save", "", "--maxmemory-policy", "noeviction"])
        .args(["--notify-keyspace-events", "Ex"])
        .arg("--dir")
        .arg(folder);
    match address {
        Address::Socket(path) => command.args(["--port", "0", "--unixsocket"]).arg(path),
        Address::Port(port) => command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]),
    };
    match append_only {
        AppendOnly::Off => command.args(["--appendonly", "no"]),
        AppendOnly::EverySecond => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
        AppendOnly::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
    };
    Process::start(&mut command, &folder.join("redis.log"))
}
