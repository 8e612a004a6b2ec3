//! A private PostgreSQL server: a free port, a folder of its own, gone with the process that started it.
//!
//! The server refuses to run as root, so root starts it as the user `postgres`.

use crate::process::free_port;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user that root lends the server.
const SERVER_USER: &str = "postgres";

/// A running server. Dropping it stops it and removes its data.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// A shell that waits for its input to end, which it does when this process does, and then cleans up.
    watchdog: Child,
}

impl Postgres {
    /// Starts a server with no data. Fails with the command that installs PostgreSQL where it is missing.
    pub fn start() -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("stampede-postgres-").tempdir()?.keep();
        if is_root() {
            // The server keeps its data and its log there, so the folder must be the server's own.
            let status = Command::new("chown").arg(SERVER_USER).arg(&folder).status()?;
            ensure!(
                status.success(),
                "chown {SERVER_USER} failed: install the server by: apt-get install postgresql"
            );
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let watchdog = as_server_user(Path::new("sh"))
            .arg("-c")
            .arg(r#"cat >/dev/null; "$0/pg_ctl" -D "$1/data" stop -m immediate -w; rm -rf "$1""#)
            .args([&programs, &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the watchdog")?;
        let mut server = Postgres { programs, folder, port: 0, watchdog };
        server.run("initdb", &["-U", "stampede", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])?;
        // Between choosing a port and taking it, another process may take it.
        let mut attempts = 0;
        loop {
            server.port = free_port();
            attempts += 1;
            match server.resume() {
                Err(_) if attempts < 5 => {}
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// Starts it (again) on its port, with its data as it was left.
    pub fn resume(&self) -> Result<()> {
        let log = self.folder.join("log");
        let folder = self.folder.display();
        // No fsync: only the process is killed in tests, never the machine.
        let options = format!("-h 127.0.0.1 -p {} -k {folder} -F", self.port);
        self.run("pg_ctl", &["start", "-w", "-t", "60", "-l", &log.to_string_lossy(), "-o", &options])
            .with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }

    /// Ends it at once, as a crash would: no connection is closed in order.
    pub fn crash(&self) -> Result<()> {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate"])
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `name`; `postgres` is one that every server has.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://stampede@127.0.0.1:{}/{name}?connect_timeout=5", self.port)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let report = self.folder.join(format!("{program}.out"));
        let out = fs::File::create(&report)?;
        let status = as_server_user(&self.programs.join(program))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .status()?;
        ensure!(status.success(), "{program} failed: {}", fs::read_to_string(&report).unwrap_or_default());
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The folder of the newest installed server's programs.
fn programs() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("postgres").exists() && folder.join("initdb").exists())
        .collect();
    found.sort();
    match found.pop() {
        Some((_, folder)) => Ok(folder),
        None => bail!("no PostgreSQL server is installed; install it by: apt-get install postgresql"),
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn as_server_user(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", SERVER_USER, "--"]).arg(program).current_dir("/");
        command
    } else {
        Command::new(program)
    }
}
