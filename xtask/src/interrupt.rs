//! Ctrl-C and SIGTERM, turned into something a command can wait for.
//!
//! A program that a command runs to the end (cargo, apt-get) is passed the signal and waited for. Servers are
//! started in process groups of their own, so that Ctrl-C reaches only us and we choose the order in which
//! they stop.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The error of a command that ended because a person, or a supervisor, asked it to.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Knows whether we were asked to stop, and what has to hear of it.
#[derive(Clone)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requested: bool,
    /// The program that we are running to its end right now.
    foreground: Option<u32>,
}

impl Interrupt {
    pub fn install() -> anyhow::Result<Interrupt> {
        let interrupt = Interrupt { state: Arc::default() };
        let mut stopping = vec![SIGINT, SIGTERM];
        if !hangup_is_ignored() {
            stopping.push(SIGHUP);
        }
        let mut signals = Signals::new(stopping).context("cannot listen for signals")?;
        let inner = interrupt.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                inner.requested();
            }
        });
        Ok(interrupt)
    }

    fn requested(&self) {
        let mut state = self.lock();
        state.requested = true;
        if let Some(pid) = state.foreground {
            terminate(pid);
        }
    }

    /// Fails with [`Interrupted`] once we were asked to stop.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.lock().requested { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Runs a program to its end, passing on a request to stop.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.run_with(command, |_| ())
    }

    /// The same, for a caller that takes the program's output away when it has just started.
    pub fn run_with(
        &self,
        command: &mut Command,
        started: impl FnOnce(&mut Child),
    ) -> anyhow::Result<ExitStatus> {
        self.check()?;
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("cannot run `{name}`"))?;
        started(&mut child);
        self.lock().foreground = Some(child.id());
        let status = child.wait();
        self.lock().foreground = None;
        self.check()?;
        status.with_context(|| format!("cannot wait for `{name}`"))
    }

    /// Asks `done` again and again until it has an answer, the deadline passes (`None`), or we are asked to stop.
    pub fn poll<T>(
        &self,
        patience: Duration,
        mut done: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let deadline = Instant::now() + patience;
        loop {
            self.check()?;
            if let Some(answer) = done()? {
                return Ok(Some(answer));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether we run under `nohup` and the like, whose wish a handler of ours would undo.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (SIGHUP - 1)) != 0
}

/// Asks a process to end (SIGTERM).
pub fn terminate(pid: u32) {
    signal(pid, rustix::process::Signal::TERM);
}

/// Ends a process at once (SIGKILL).
pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits for a child that was asked to end, and ends it at once when `patience` is over.
pub fn wait_or_kill(child: &mut Child, patience: Duration) -> anyhow::Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            return Ok(child.wait()?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
