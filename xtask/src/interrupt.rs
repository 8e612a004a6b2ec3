//! Handles Ctrl-C and SIGTERM.
//!
//! If a command is running another program to its end (cargo, apt-get), that program gets the signal too, and we wait
//! for it. Servers run in process groups of their own, so Ctrl-C reaches only us and we choose the order in which they
//! stop.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The error of a command that ended because a person or a supervisor asked it to.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Knows whether we were asked to stop, and which program must be told.
#[derive(Clone)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requested: bool,
    /// The process number of the program that we are running to its end, if there is one.
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
                inner.request();
            }
        });
        Ok(interrupt)
    }

    fn request(&self) {
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

    /// Runs a program to its end. Passes a request to stop on to it.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.run_with(command, |_| ())
    }

    /// Like [`Interrupt::run`], and calls `started` when the program has just started, for example to read its output.
    pub fn run_with(
        &self,
        command: &mut Command,
        started: impl FnOnce(&mut Child),
    ) -> anyhow::Result<ExitStatus> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = {
            // A request that comes meanwhile waits for the lock, and then finds the program.
            let mut state = self.lock();
            if state.requested {
                return Err(Interrupted.into());
            }
            let child = command.spawn().with_context(|| format!("cannot run `{name}`"))?;
            state.foreground = Some(child.id());
            child
        };
        started(&mut child);
        let status = child.wait();
        self.lock().foreground = None;
        self.check()?;
        status.with_context(|| format!("cannot wait for `{name}`"))
    }

    /// Calls `done` until it returns a value. Returns `None` after `timeout`. Fails with [`Interrupted`] if we are asked
    /// to stop.
    pub fn poll<T>(
        &self,
        timeout: Duration,
        mut done: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let deadline = Instant::now() + timeout;
        loop {
            self.check()?;
            if let Some(value) = done()? {
                return Ok(Some(value));
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

/// Whether SIGHUP is ignored, for example under `nohup`. Then we must not handle it either.
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
        // This fails if the process has already ended, which is fine.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits for a child that was asked to end, and kills it after `timeout`.
pub fn wait_or_kill(child: &mut Child, timeout: Duration) -> anyhow::Result<ExitStatus> {
    let deadline = Instant::now() + timeout;
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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Interrupt, Interrupted};

    #[test]
    fn a_request_to_stop_that_comes_while_a_program_starts_reaches_the_program() {
        let interrupt = Interrupt { state: Arc::default() };
        let begun = Instant::now();
        let ended = interrupt.run_with(Command::new("sleep").arg("60"), |_| interrupt.request());
        assert!(ended.unwrap_err().is::<Interrupted>());
        assert!(begun.elapsed() < Duration::from_secs(30), "the program ran to its end");
        // Nothing starts after the request.
        assert!(interrupt.run(&mut Command::new("true")).unwrap_err().is::<Interrupted>());
    }
}
