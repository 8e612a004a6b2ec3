//! A redis-server of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::process::{Process, free_port};
use crate::{artefacts, eventually};

/// A private Redis, with an append-only file so that it survives being killed.
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    process: Process,
}

impl RedisServer {
    pub(crate) async fn start(world: &Path) -> RedisServer {
        let folder = world.join("redis");
        std::fs::create_dir_all(&folder).expect("a world's folder is writable");
        // Somebody may take the port between our look and Redis's; then we look again.
        for _ in 0..20 {
            let port = free_port();
            let process = spawn(&folder, port);
            let mut server = RedisServer { folder: folder.clone(), port, process };
            if server.is_ready().await {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to look inside, or to break something.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("our own URL is right");
        client.get_multiplexed_async_connection().await.expect("our own Redis answers")
    }

    /// Runs one command; panics on an error reply.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connection().await).await.expect("the command is right")
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGSTOP: it keeps its connections and does nothing until [`RedisServer::go_on`].
    pub fn freeze(&self) {
        self.process.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.process.signal(rustix::process::Signal::CONT);
    }

    /// Starts it again where it was, on what its append-only file holds.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(&self.folder, self.port);
        assert!(self.is_ready().await, "redis-server does not start again:\n{}", self.process.last_words());
    }

    /// Keeps a copy of all that it has on disk, as a backup would, and goes on.
    pub async fn save_copy(&mut self, to: &Path) {
        self.process.kill9();
        copy_folder(&self.folder.join("appendonlydir"), to);
        self.restart().await;
    }

    /// SIGKILL, and started again on the copy in place of what it had.
    pub async fn come_back_with(&mut self, copy: &Path) {
        self.process.kill9();
        let folder = self.folder.join("appendonlydir");
        std::fs::remove_dir_all(&folder).expect("Redis had its append-only files");
        copy_folder(copy, &folder);
        self.restart().await;
    }

    /// The disk has no room for another byte of the append-only file, until it is given some again.
    pub fn fill_disk(&self) {
        let folder = self.folder.join("appendonlydir");
        let files = std::fs::read_dir(&folder).expect("Redis has its append-only files");
        let sizes = files.map(|file| file.and_then(|file| file.metadata()).expect("a file has a size").len());
        // Reached by the file that grows; one byte more than it has could still be written half.
        self.process.limit_file_size(Some(sizes.max().expect("there is a file that grows")));
    }

    /// There is room again.
    pub fn empty_disk(&self) {
        self.process.limit_file_size(None);
    }

    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// Whether it came up and has loaded its data; `false` when it ended instead.
    async fn is_ready(&mut self) -> bool {
        let client = redis::Client::open(self.url()).expect("our own URL is right");
        eventually("redis-server answers", Duration::from_secs(60), async || {
            if self.process.ended().is_some() {
                return Some(false);
            }
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
            pong.is_ok().then_some(true)
        })
        .await
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a test's folder is writable");
    for file in std::fs::read_dir(from).expect("Redis has its append-only files") {
        let file = file.expect("a folder can be read");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

fn spawn(folder: &Path, port: u16) -> Process {
    // A write beyond a limit of the system is to fail, as on a full disk, instead of ending the program.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(artefacts::program("redis-server"))
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"])
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
        .args(["--notify-keyspace-events", "Ex", "--maxmemory-policy", "noeviction"])
        .arg("--dir")
        .arg(folder);
    Process::start(&mut command, &folder.join("redis.log"))
}
