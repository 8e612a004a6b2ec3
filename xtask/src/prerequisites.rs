//! Programs that do not come with a Rust toolchain.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::console;
use crate::interrupt::Interrupt;

/// A program and the Debian package that brings it.
#[derive(Clone, Copy)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

pub const REDIS_SERVER: Program = Program { name: "redis-server", package: "redis-server" };
pub const REDIS_BENCHMARK: Program = Program { name: "redis-benchmark", package: "redis-tools" };
pub const CHROMIUM: Program = Program { name: "chromium", package: "chromium" };
pub const CHROMEDRIVER: Program = Program { name: "chromedriver", package: "chromium-driver" };
pub const POSTGRES: Program = Program { name: "initdb", package: "postgresql" };
pub const FAKETIME: Program = Program { name: "faketime", package: "faketime" };
pub const NODE: Program = Program { name: "node", package: "nodejs" };
pub const NPM: Program = Program { name: "npm", package: "npm" };
pub const NGINX: Program = Program { name: "nginx", package: "nginx-light" };

/// Installs those of `programs` that are missing, or fails with the one command that does.
pub fn ensure(programs: &[Program], interrupt: &Interrupt) -> anyhow::Result<()> {
    let missing: Vec<Program> =
        programs.iter().copied().filter(|program| find(program.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    let by_hand = format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "));
    let Some(prefix) = administrator() else {
        bail!("missing on this machine: {names}; run `{by_hand}`");
    };

    console::step(&format!("Installing {names}"));
    let apt = |arguments: &[&str]| {
        let mut command = match prefix {
            Administrator::Root => Command::new("apt-get"),
            Administrator::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
                sudo
            }
        };
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        // apt-get's own words are progress, not results.
        command.stdout(std::io::stderr());
        command
    };
    let mut install: Vec<&str> = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&packages);
    // A fresh machine has no package lists; one with old lists asks for versions that are gone.
    interrupt.run(&mut apt(&["update"]))?;
    let installed = interrupt.run(&mut apt(&install))?;
    match missing.iter().find(|program| find(program.name).is_none()) {
        None if installed.success() => Ok(()),
        None => {
            console::note("apt-get reported a problem, but every program is there now; going on");
            Ok(())
        }
        Some(program) => bail!("`{}` could not be installed; run `{by_hand}`", program.name),
    }
}

/// Where a program is, looking also where Debian keeps servers, which need not be in a user's PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")))
        .map(|folder| folder.join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

enum Administrator {
    Root,
    Sudo,
}

/// How we may install packages without asking anybody for a password, if at all.
fn administrator() -> Option<Administrator> {
    find("apt-get")?;
    if rustix::process::geteuid().is_root() {
        return Some(Administrator::Root);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success()).then_some(Administrator::Sudo)
}
