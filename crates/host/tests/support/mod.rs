//! A folder, a Redis and a host for each test, on ports that nobody else has; all gone at the test's end.

mod client;
mod process;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use client::{Client, Response};
pub use process::Process;

/// How long anything may take that happens by itself. Generous: the machine may be busy with other builds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` gives something, and fails with `what` otherwise.
pub fn eventually<R>(what: &str, mut done: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that is free at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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

/// A Redis server of the test's own.
pub struct Redis {
    pub port: u16,
    folder: tempfile::TempDir,
    process: Option<Process>,
}

impl Redis {
    pub fn start() -> Self {
        let mut redis = Self { port: free_port(), folder: tempfile::tempdir().unwrap(), process: None };
        redis.resume();
        redis
    }

    /// Starts it (again) on its port.
    pub fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.current_dir(self.folder.path()).args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        let process = Process::start(command);
        let process = process.expect("redis-server is needed: `apt-get install redis-server`");
        self.process = Some(process);
        eventually("redis-server answers", || self.try_command(&["PING"]).filter(|reply| reply == "PONG"));
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command; nested replies come as lines.
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap()
    }

    fn try_command(&self, words: &[&str]) -> Option<String> {
        let client = redis::Client::open(self.url()).ok()?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5)).ok()?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
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
        command.query(&mut connection).ok().map(text)
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
    pub fn start_with(self, command: Command) -> Host {
        let mut process = Process::start(command).unwrap();
        let address = eventually("the host serves", || {
            let output = process.stdout();
            if output.is_empty() && process.has_ended() {
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
