//! Runs the components in a child process: our host, or `spin up`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::interrupt::{self, Interrupt};
use crate::workspace::Workspace;
use crate::{console, prerequisites};

/// How long running requests may still take when we stop the application.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a start may take. The first one compiles every component to machine code.
const START_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Host,
    Spin,
}

/// Everything that a start needs. A restart uses it again, so nothing differs.
pub struct Plan<'a> {
    pub workspace: &'a Workspace,
    pub kind: Kind,
    /// The folder that holds all data of the run.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// The variables that differ from their defaults. Some are secrets, so the child gets all of them in its
    /// environment, which other users can't read.
    pub variables: BTreeMap<String, String>,
}

/// A running application.
pub struct Runtime {
    child: Child,
    address: SocketAddr,
    pid_file: PathBuf,
}

impl Plan<'_> {
    /// Starts the application and waits until `/readyz` reports that it is ready.
    pub fn start(&self, interrupt: &Interrupt) -> anyhow::Result<Runtime> {
        let log_path = self.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("cannot write {}", log_path.display()))?;
        let log_start = log.metadata()?.len();

        let mut command = match self.kind {
            Kind::Host => self.host_command(),
            Kind::Spin => self.spin_command()?,
        };
        command
            .current_dir(self.workspace.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            // Ctrl-C should reach only us. We then let the application finish its requests, and stop Redis after it.
            .process_group(0);
        for (name, value) in &self.variables {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run `{}`", command.get_program().to_string_lossy()))?;
        let pid_file = self.data.join("runtime.pid");
        std::fs::write(&pid_file, child.id().to_string())?;
        let output = child.stdout.take().context("the application has no output")?;
        let serving = follow_output(output, log);
        let mut runtime = Runtime { child, address: self.listen, pid_file };

        match runtime.wait_until_ready(self.kind, &serving, interrupt) {
            Ok(()) => Ok(runtime),
            Err(error) => {
                let _ = runtime.stop();
                let last_line = last_line(&log_path, log_start);
                Err(if last_line.is_empty() || error.is::<interrupt::Interrupted>() {
                    error
                } else {
                    anyhow::anyhow!("{error:#}: {last_line}")
                })
            }
        }
    }

    /// Ends the application of an earlier run that was killed.
    pub fn stop_leftover(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let pid_file = self.data.join("runtime.pid");
        let Some(pid) =
            std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok())
        else {
            return Ok(());
        };
        // The system reuses process numbers, so make sure that this process works on our data folder.
        let is_ours = || {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let state = self.state();
            words.split(|byte| *byte == 0).any(|word| Some(word) == state.to_str().map(str::as_bytes))
        };
        if is_ours() {
            console::note("An earlier run was killed and left the application behind; ending it");
            interrupt::terminate(pid);
            if interrupt.poll(DRAIN_TIMEOUT, || Ok((!is_ours()).then_some(())))?.is_none() {
                interrupt::kill(pid);
                interrupt.poll(DRAIN_TIMEOUT, || Ok((!is_ours()).then_some(())))?;
            }
        }
        let _ = std::fs::remove_file(pid_file);
        Ok(())
    }

    pub fn log(&self) -> PathBuf {
        self.data.join("application.log")
    }

    /// Where the runtime keeps key-value stores and SQLite databases.
    fn state(&self) -> PathBuf {
        self.data.join("state")
    }

    fn host_command(&self) -> Command {
        let mut command = Command::new(self.workspace.host_binary());
        command
            .arg("--from")
            .arg(self.workspace.root().join("spin.toml"))
            .args(["--listen", &self.listen.to_string()])
            .arg("--state-dir")
            .arg(self.state())
            .arg("--cache-dir")
            .arg(self.workspace.target().join("compiled"));
        command
    }

    fn spin_command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(find_spin()?);
        command
            .args(["up", "--from"])
            .arg(self.workspace.root().join("spin.toml"))
            .args(["--listen", &self.listen.to_string()])
            .arg("--state-dir")
            .arg(self.state());
        Ok(command)
    }
}

impl Runtime {
    /// The address that the application serves. Its port is known even if the plan left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Lets the application finish its requests, and ends it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        interrupt::terminate(self.child.id());
        interrupt::wait_or_kill(&mut self.child, DRAIN_TIMEOUT)?;
        let _ = std::fs::remove_file(&self.pid_file);
        Ok(())
    }

    fn wait_until_ready(
        &mut self,
        kind: Kind,
        serving: &Receiver<SocketAddr>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let agent = crate::seed::agent();
        let ready = interrupt.poll(START_TIMEOUT, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the application ended while it was starting ({status})");
            }
            if let Ok(address) = serving.try_recv() {
                self.address = address;
            }
            if kind == Kind::Host && self.address.port() == 0 {
                return Ok(None);
            }
            let url = format!("http://{}/readyz", reachable(self.address));
            Ok(agent.get(&url).call().is_ok_and(|response| response.status() == 200).then_some(()))
        })?;
        ensure!(ready.is_some(), "the application does not get ready within {} s", START_TIMEOUT.as_secs());
        Ok(())
    }
}

pub fn find_spin() -> anyhow::Result<PathBuf> {
    prerequisites::find("spin")
        .context("`spin` is not installed; leave out `--runtime spin` to use Stampede's own host")
}

/// An address that a client on this machine can connect to: the loopback if the server listens on all addresses.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// Copies the application's standard output to its log, and reports the address in `Serving http://…`.
fn follow_output(output: impl Read + Send + 'static, mut log: File) -> Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) =
                line.strip_prefix("Serving http://").and_then(|text| text.trim().parse().ok())
            {
                // This fails after the start, when nobody reads the address any more.
                let _ = sender.send(address);
            }
            let _ = writeln!(log, "{line}");
        }
    });
    receiver
}

/// The last line that is not empty in a log, after the byte `start`.
fn last_line(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
