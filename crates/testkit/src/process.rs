//! A child process that cannot outlive its test, with its output in files.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

/// A running program. Dropping it kills it.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    _folder: Option<TempDir>,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Process {
        let child = spawn(command, log, log);
        Process { child, stdout: log.to_owned(), stderr: log.to_owned(), _folder: None }
    }

    /// Starts `command` with its two outputs in two files, which go when the process is dropped.
    pub fn start_with_outputs_apart(command: &mut Command) -> Process {
        let folder = TempDir::with_prefix("stampede-process-").expect("a temporary folder");
        let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
        let child = spawn(command, &stdout, &stderr);
        Process { child, stdout, stderr, _folder: Some(folder) }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        // It may have ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal, and does not wait for what comes of it.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child can be signalled");
    }

    /// SIGTERM, unless it has ended; waits at most `patience` for its end.
    pub fn signal_to_end(&mut self, patience: Duration) {
        if self.ended().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// No file that it writes may grow beyond so many bytes; any size with `None`.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)
            .expect("our own child can be limited");
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a living process has memory");
        let kibibytes = line.trim().trim_end_matches("kB").trim();
        kibibytes.parse::<u64>().expect("a number") * 1024
    }

    /// What it wrote to its standard output so far; with one log for both outputs, all that it wrote.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it wrote to its standard error so far; with one log for both outputs, all that it wrote.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// The end of its standard error, or of its one log.
    pub fn last_words(&self) -> String {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A loopback port that is free now. It lies outside the range from which the system takes ports for outgoing
/// connections, so a server that was killed finds its port free when it comes back.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let random = RandomState::new().hash_one(std::process::id());
        let port = 12_000 + (random % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on the loopback");
}

fn spawn(command: &mut Command, stdout: &Path, stderr: &Path) -> Child {
    let open = |path: &Path| -> File {
        OpenOptions::new().create(true).append(true).open(path).expect("a test's folder is writable")
    };
    command
        .stdin(Stdio::null())
        .stdout(open(stdout))
        .stderr(open(stderr))
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
