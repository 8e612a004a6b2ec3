//! A folder, a Redis and a host for each test, on ports that nobody else has; all gone at the test's end.

mod client;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use testkit::{AppendOnly, Process, RedisServer, eventually_blocking};
use tokio::runtime::Runtime;

pub use client::{Client, Response};

/// How long anything may take that happens by itself. Generous: the machine may be busy with other builds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` returns a value, and fails with `awaited` otherwise.
pub fn eventually<T>(awaited: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_blocking(awaited, PATIENCE, look)
}

/// The wasm file of one of the guests, all of which are built on first use.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
        // Beside the test binary's own target folder, so that a clone keeps what it built.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guests");
        let status = Command::new(env!("CARGO"))
            .current_dir(guests)
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .status()
            .unwrap();
        assert!(status.success(), "the guests did not build: `rustup target add wasm32-wasip2`?");
        target.join("wasm32-wasip2/release")
    });
    folder.join(format!("{name}.wasm"))
}

/// A Redis server of the test's own, for tests without a runtime.
pub struct Redis {
    server: RedisServer,
    runtime: Runtime,
}

impl Redis {
    pub fn start() -> Self {
        // With a thread of its own the runtime closes our connections at once, so that Redis does not count them.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(RedisServer::on_port(AppendOnly::EverySecond));
        Self { server, runtime }
    }

    /// Starts it again on its port.
    pub fn resume(&mut self) {
        self.runtime.block_on(self.server.restart());
    }

    pub fn stop(&mut self) {
        self.server.kill9();
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The disk has no room for another write.
    pub fn fill_disk(&self) {
        self.server.fill_disk();
    }

    /// There is room again.
    pub fn empty_disk(&self) {
        self.server.empty_disk();
    }

    /// Runs a command that Redis may refuse.
    pub fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        self.runtime.block_on(async { command.query_async(&mut self.server.connection().await).await })
    }

    /// Runs a command; nested replies come as lines.
    pub fn command(&self, words: &[&str]) -> String {
        fn text(value: redis::Value) -> String {
            match value {
                redis::Value::Nil => "nil".to_owned(),
                redis::Value::Int(number) => number.to_string(),
                redis::Value::Okay => "OK".to_owned(),
                redis::Value::SimpleString(text) => text,
                redis::Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
                redis::Value::Array(values) => values.into_iter().map(text).collect::<Vec<_>>().join("\n"),
                other => format!("{other:?}"),
            }
        }
        text(self.runtime.block_on(self.server.command(words)))
    }

    /// What the guest `bell` wrote down, a line each.
    pub fn rung(&self) -> Vec<String> {
        self.command(&["LRANGE", "rung", "0", "-1"]).lines().map(str::to_owned).collect()
    }
}

/// An application and the options to run it with.
pub struct Application {
    pub folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Application {
    /// `component` is what the manifest says of the component `web`, which takes all paths.
    pub fn web(component: &str) -> Self {
        Self::new(&format!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n\
             [component.web]\nsource = '{}'\n{component}\n",
            guest("web").display()
        ))
    }

    /// `rest` is the manifest after its head.
    pub fn new(rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!("spin_manifest_version = 2\n[application]\nname = \"test\"\n{rest}");
        std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
        Self { folder, options: Vec::new() }
    }

    /// Adds options.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Writes a file beside the manifest.
    pub fn file(self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.arg("--from").arg(self.folder.path()).args(&self.options);
        let has = |option: &str| self.options.iter().any(|given| given == option);
        if !has("--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !has("--cache-dir") {
            command.arg("--cache-dir").arg(shared_cache());
        }
        command
    }

    /// Starts the host and waits until it serves.
    pub fn start(self) -> Host {
        let command = self.command();
        self.start_with(command)
    }

    /// Starts the host by a command of the caller's.
    pub fn start_with(self, mut command: Command) -> Host {
        let mut process = Process::start_with_outputs_apart(&mut command);
        let address = eventually("the host serves", || {
            let output = process.stdout();
            if output.is_empty() && process.ended().is_some() {
                panic!("the host did not start: {}", process.stderr());
            }
            let line = output.lines().next()?.to_owned();
            output.ends_with('\n').then_some(line)
        });
        let address =
            address.strip_prefix("Serving http://").unwrap_or_else(|| panic!("{address}")).to_owned();
        Host { process, address, application: self }
    }

    /// Starts the host, which must fail, and returns the line that it printed.
    pub fn fails(&self) -> String {
        let output = self.command().stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(lines.len(), 1, "one line: {text}");
        lines[0].to_owned()
    }
}

/// The cache of compiled guests that all tests share. The tests of the cache itself use others.
fn shared_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-cache")
}

/// A host that serves.
pub struct Host {
    pub process: Process,
    pub address: String,
    #[allow(dead_code, reason = "keeps the folder until the host is gone")]
    pub application: Application,
}

impl Host {
    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Waits until the host's log has these words: the host writes it beside everything else.
    pub fn expect_log(&self, words: &str) {
        eventually(&format!("the log says `{words}`"), || {
            self.process.stderr().contains(words).then_some(())
        });
    }

    /// Waits until the host has ended.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the host ends", || self.process.ended())
    }

    pub fn get(&self, path: &str) -> Response {
        self.client().get(path)
    }

    /// The body of a successful response.
    pub fn text(&self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{response:?}\n{}", self.process.stderr());
        response.body
    }

    pub fn post(&self, path: &str, body: &str) -> String {
        let response = self.client().request("POST", path, &[], body);
        assert_eq!(response.status, 200, "{response:?}\n{}", self.process.stderr());
        response.body
    }

    /// The lines of a successful response to POST.
    pub fn lines(&self, path: &str, body: &[&str]) -> Vec<String> {
        self.post(path, &body.join("\n")).lines().map(str::to_owned).collect()
    }
}
