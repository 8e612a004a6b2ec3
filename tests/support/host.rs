//! The host that runs the real components.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testkit::{Process, Signal, eventually, free_port};

use crate::artefacts;

/// A running host. Several may share one Redis and one state folder.
pub struct Host {
    plan: Plan,
    port: u16,
    process: Process,
}

/// All that a start needs, so that a restart is the same start.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) state: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) arguments: Vec<String>,
    /// How far its clock is off, in seconds.
    pub(crate) clock_off_by: i64,
}

impl Host {
    pub(crate) async fn start(plan: Plan) -> Host {
        // Another process may take the port between our look and the host's; then we look again.
        let mut last_words = String::new();
        for _ in 0..5 {
            let port = free_port();
            let process = spawn(&plan, port);
            let mut host = Host { plan: plan.clone(), port, process };
            if host.is_ready().await {
                return host;
            }
            last_words = host.process.last_words();
        }
        panic!("the host does not start:\n{last_words}");
    }

    /// The root of everything it serves, as in `http://127.0.0.1:3000`.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// SIGKILL: requests under way get no response.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again at the same address.
    pub async fn restart(&mut self) {
        self.begin_restart();
        assert!(self.is_ready().await, "the host does not start again:\n{}", self.process.last_words());
    }

    /// Starts it again at the same address, and does not wait until it serves.
    pub fn begin_restart(&mut self) {
        self.process.kill9();
        self.process = spawn(&self.plan, self.port);
    }

    /// SIGSTOP: it keeps its connections and does nothing until [`Host::go_on`].
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    /// SIGTERM, and waits until it has ended; the exit code, if it was not killed.
    pub async fn stop(&mut self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        let status =
            eventually("the host ends after SIGTERM", Duration::from_secs(30), async || self.process.ended())
                .await;
        status.code()
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        self.process.memory()
    }

    /// All that it and its functions have logged.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// Whether it came up and everything that it needs answers; `false` when it ended instead.
    async fn is_ready(&mut self) -> bool {
        let http = reqwest::Client::new();
        let url = format!("{}/readyz", self.base());
        eventually("the host is ready", Duration::from_secs(180), async || {
            if self.process.ended().is_some() {
                return Some(false);
            }
            let response = http.get(&url).send().await.ok()?;
            response.status().is_success().then_some(true)
        })
        .await
    }
}

fn spawn(plan: &Plan, port: u16) -> Process {
    let mut command = Command::new(artefacts::host_binary());
    command
        .arg("--from")
        .arg(artefacts::checkout().join("spin.toml"))
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("--state-dir")
        .arg(&plan.state)
        .arg("--cache-dir")
        .arg(artefacts::component_cache())
        .args(&plan.arguments);
    if plan.clock_off_by != 0 {
        command
            .env("LD_PRELOAD", artefacts::fake_clock())
            .env("FAKETIME", format!("{:+}", plan.clock_off_by))
            // Only what the clock shows is wrong: time passes as ever, and files keep their dates.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
    // Its functions behind Redis triggers find the host here, unless a test says otherwise.
    command.env("SPIN_VARIABLE_OWN_ORIGIN", format!("http://127.0.0.1:{port}"));
    for (name, value) in &plan.variables {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    Process::start(&mut command, &plan.log)
}
