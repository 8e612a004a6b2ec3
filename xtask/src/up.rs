//! `cargo xtask up`: builds a fresh clone and starts it as a shop.
//!
//! One data folder holds everything of a run: the private Redis, the key-value store, the order database, the secrets
//! and the logs. So a later `up` continues where this one stopped. Runs with different data folders are independent.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::interrupt::{Interrupt, Interrupted};
use crate::runtime::{Kind, Plan, Runtime};
use crate::workspace::{Manifest, Workspace};
use crate::{compile, console, prerequisites, redis, runtime, secrets, seed};

/// The settings that are secrets. We make those that nobody sets.
const SECRETS: [&str; 4] = ["session_secret", "admin_token", "payment_link_secret", "payment_webhook_secret"];

pub struct Options {
    listen: String,
    data: PathBuf,
    redis: Option<redis::Url>,
    redis_text: Option<String>,
    settings: BTreeMap<String, String>,
    runtime: Kind,
    empty: bool,
}

impl Options {
    pub fn parse(arguments: &mut lexopt::Parser) -> anyhow::Result<Options> {
        use lexopt::prelude::*;

        let mut options = Options {
            listen: "127.0.0.1:3000".to_owned(),
            data: PathBuf::from(".stampede"),
            redis: None,
            redis_text: None,
            settings: BTreeMap::new(),
            runtime: Kind::Host,
            empty: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("listen") => options.listen = arguments.value()?.string()?,
                Long("data") => options.data = arguments.value()?.into(),
                Long("redis") => {
                    let text = arguments.value()?.string()?;
                    options.redis = Some(redis::Url::parse(&text)?);
                    options.redis_text = Some(text);
                }
                Long("set") => {
                    let text = arguments.value()?.string()?;
                    let (name, value) = text
                        .split_once('=')
                        .with_context(|| format!("`--set {text}` has no `=`; write --set name=value"))?;
                    options.settings.insert(name.to_owned(), value.to_owned());
                }
                Long("runtime") => {
                    options.runtime = match arguments.value()?.string()?.as_str() {
                        "host" => Kind::Host,
                        "spin" => Kind::Spin,
                        other => bail!("there is no runtime `{other}`; it is `host` or `spin`"),
                    }
                }
                Long("empty") => options.empty = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

pub fn run(options: Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    check_settings(&options.settings, &workspace.manifest()?)?;
    let listen = resolve(&options.listen)?;
    let data = make_data_folder(&options.data)?;
    let _lock = lock(&data, &options.data)?;

    let mut plan =
        Plan { workspace: &workspace, kind: options.runtime, data, listen, variables: BTreeMap::new() };
    plan.stop_leftover(interrupt)?;
    // A port in use should be reported before the build, which takes long.
    free_port(listen)?;
    match &options.redis {
        Some(url) => redis::verify(url)?,
        None => prerequisites::ensure(&[prerequisites::REDIS_SERVER], interrupt)?,
    }
    if options.runtime == Kind::Spin {
        runtime::find_spin()?;
    }
    compile::ensure_wasm_target(&workspace, interrupt)?;
    compile::functions(&workspace, interrupt)?;
    if options.runtime == Kind::Host {
        compile::host(&workspace, interrupt)?;
    }

    let mut servers = Servers { redis: None, runtime: None };
    let outcome = serve(&options, &mut plan, &mut servers, interrupt);
    if servers.runtime.is_some() || servers.redis.is_some() {
        console::step("Stopping");
    }
    // Stop the servers in order, whatever ended the run. If several things failed, report the first.
    let stopped = servers.stop();
    outcome.and(stopped)?;
    Ok(ExitCode::SUCCESS)
}

/// The servers that we started. They stop in this order, because the runtime uses Redis until its end.
struct Servers {
    runtime: Option<Runtime>,
    redis: Option<redis::Private>,
}

impl Servers {
    fn stop(&mut self) -> anyhow::Result<()> {
        let runtime = self.runtime.take().map_or(Ok(()), |mut runtime| runtime.stop());
        let redis = self.redis.take().map_or(Ok(()), redis::Private::stop);
        runtime.and(redis)
    }
}

/// Starts Redis and the application, prints the address, and watches both until we are asked to stop.
fn serve(
    options: &Options,
    plan: &mut Plan<'_>,
    servers: &mut Servers,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let (redis_url, redis_origin) = match (&options.redis, &options.redis_text) {
        (Some(url), Some(text)) => {
            console::step(&format!("Using Redis at {}", url.origin()));
            (text.clone(), url.origin())
        }
        _ => {
            console::step("Starting a private Redis");
            let server = servers.redis.insert(redis::Private::start(&plan.data, interrupt)?);
            (server.url(), server.origin())
        }
    };
    plan.listen = free_port(plan.listen)?;
    plan.variables = variables(&plan.data, redis_url, redis_origin, plan.listen, &options.settings)?;

    console::step("Starting Stampede (the first start compiles the components to machine code)");
    let address = servers.runtime.insert(plan.start(interrupt)?).address();
    // A restart must serve at the same address, where shoppers look for it.
    plan.listen = address;
    let base = format!("http://{}", runtime::reachable(address));
    let token = plan.variables["admin_token"].clone();
    let webhook_secret = plan.variables["payment_webhook_secret"].clone();

    if !options.empty {
        seed::publish_demo_unless_there_is_a_sale(plan.workspace, &base, &token, &webhook_secret)?;
    }
    console::note(&format!("Log: {}", plan.log().display()));
    println!("Ready: {base}");
    println!("Operator token: {token}");
    std::io::stdout().flush()?;

    watch(plan, servers, interrupt)
}

/// Restarts Redis and the application whenever they end, until we are asked to stop.
fn watch(plan: &Plan<'_>, servers: &mut Servers, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut redis_backoff = Backoff::new();
    let mut runtime_backoff = Backoff::new();
    let outcome = loop {
        if let Err(stop) = interrupt.check() {
            break stop;
        }
        if let Some(server) = &mut servers.redis
            && let Some(status) = server.ended()?
        {
            console::note(&format!("Redis ended ({status}); starting it again"));
            if let Err(stop) = redis_backoff.wait(interrupt) {
                break stop;
            }
            match server.restart(interrupt) {
                Ok(true) => console::note("Redis runs again"),
                Ok(false) => console::note("Redis does not start"),
                Err(stop) => break stop,
            }
        }
        let ended = servers.runtime.as_mut().map_or(Ok(None), Runtime::ended)?;
        if let Some(status) = ended {
            console::note(&format!("The application ended ({status}); starting it again"));
            servers.runtime = None;
        }
        if servers.runtime.is_none() {
            if let Err(stop) = runtime_backoff.wait(interrupt) {
                break stop;
            }
            match plan.start(interrupt) {
                Ok(running) => {
                    servers.runtime = Some(running);
                    console::note("The application runs again");
                }
                Err(error) if error.is::<Interrupted>() => break error,
                Err(error) => console::note(&format!("The application does not start: {error:#}")),
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if outcome.is::<Interrupted>() { Ok(()) } else { Err(outcome) }
}

/// The pause before a restart. It doubles with each failure, and starts again from the shortest after a long run
/// without failures.
struct Backoff {
    pause: Duration,
    last: Option<Instant>,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    const LONG_RUN: Duration = Duration::from_secs(30);

    fn new() -> Backoff {
        Backoff { pause: Backoff::SHORTEST, last: None }
    }

    fn wait(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        self.pause = match self.last {
            Some(last) if last.elapsed() < Backoff::LONG_RUN => (self.pause * 2).min(Backoff::LONGEST),
            _ => Backoff::SHORTEST,
        };
        interrupt.poll::<()>(self.pause, || Ok(None))?;
        self.last = Some(Instant::now());
        Ok(())
    }
}

/// The variables of this run. `--set` overrides the environment, and the environment overrides the secrets and the
/// origin that we make here. The Redis always comes from `--redis` or is our own.
fn variables(
    data: &Path,
    redis_url: String,
    redis_origin: String,
    listen: SocketAddr,
    settings: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for name in SECRETS {
        let secret = match std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase())) {
            Ok(value) => value,
            Err(_) => secrets::load_or_make(&data.join("secrets"), name)?,
        };
        variables.insert(name.to_owned(), secret);
    }
    variables.insert("redis_url".to_owned(), redis_url);
    variables.insert("redis_origin".to_owned(), redis_origin);
    if std::env::var_os("SPIN_VARIABLE_OWN_ORIGIN").is_none() {
        variables.insert("own_origin".to_owned(), format!("http://{}", runtime::reachable(listen)));
    }
    // A shop to try out. Elsewhere the operator must choose, because this provider gives goods away.
    if std::env::var_os("SPIN_VARIABLE_PAYMENT_PROVIDER").is_none() {
        variables.insert("payment_provider".to_owned(), "simulated".to_owned());
    }
    let environment = |name: &str| std::env::var(format!("SPIN_VARIABLE_{}", name.to_uppercase())).ok();
    if let Some(origin) = ledger_origin(settings, environment) {
        variables.insert("ledger_origin".to_owned(), origin);
    }
    variables.extend(settings.clone());
    Ok(variables)
}

/// The origin of the order database, if it follows from the setting `ledger` of the command line or of the environment.
fn ledger_origin(
    settings: &BTreeMap<String, String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let ledger = match settings.get("ledger") {
        Some(ledger) => ledger.clone(),
        // A database of the environment may have its origin there, too.
        None if environment("ledger_origin").is_some() => return None,
        None => environment("ledger")?,
    };
    ledger.contains("://").then(|| origin(&ledger))
}

/// A database URL without credentials, path and query: the form in which the outbound allow-list needs it.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let address = rest.split(['/', '?']).next().unwrap_or_default();
    let place = address.rsplit_once('@').map_or(address, |(_, place)| place);
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { format!("{scheme}://{place}") } else { format!("{scheme}://{place}:5432") }
}

fn check_settings(settings: &BTreeMap<String, String>, manifest: &Manifest) -> anyhow::Result<()> {
    for name in settings.keys() {
        ensure!(
            !matches!(name.as_str(), "redis_url" | "redis_origin"),
            "`{name}` follows from --redis; write --redis redis://host:port"
        );
        ensure!(
            manifest.variables.contains(name),
            "there is no setting `{name}`; spin.toml has: {}",
            manifest.variables.join(", ")
        );
    }
    Ok(())
}

fn resolve(listen: &str) -> anyhow::Result<SocketAddr> {
    let addresses = listen
        .to_socket_addrs()
        .with_context(|| format!("`--listen {listen}` is not an address like 127.0.0.1:3000"))?;
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    // `localhost` has an IPv4 and an IPv6 address. Serve the IPv4 one, which every browser and tool reaches.
    addresses.sort_by_key(|address| !address.is_ipv4());
    addresses.first().copied().with_context(|| format!("`{listen}` has no address"))
}

/// The address to listen on, after a check that its port is free at the moment. For port 0 we choose a port here,
/// because the application must know its own address before it starts.
fn free_port(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    match TcpListener::bind(listen) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("{listen} is in use by another program; choose another address with --listen")
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {listen}")),
    }
}

/// Makes the data folder. Only its owner may enter it, because it holds secrets.
fn make_data_folder(data: &Path) -> anyhow::Result<PathBuf> {
    let make = |folder: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    make(data)
        .and_then(|()| make(&data.join("secrets")))
        .and_then(|()| data.canonicalize())
        .with_context(|| format!("cannot use {} as the data folder", data.display()))
}

/// Locks the data folder, so that no second `up` uses it. The system releases the lock when this process ends, even
/// if it is killed.
fn lock(data: &Path, shown: &Path) -> anyhow::Result<File> {
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `up` is using {}; stop it, or choose another folder with --data", shown.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data folder"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ledger_origin, origin};

    #[test]
    fn the_origin_of_a_database_follows_from_the_command_line_or_the_environment() {
        let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let environment = |pairs: &[(&str, &str)]| {
            let values = settings(pairs);
            move |name: &str| values.get(name).cloned()
        };
        let (here, there) = (("ledger", "postgres://u:p@here/x"), ("ledger", "postgres://u:p@there/x"));
        let derived = |given: &[_], found: &[_]| ledger_origin(&settings(given), environment(found));
        assert_eq!(derived(&[here], &[]).as_deref(), Some("postgres://here:5432"));
        assert_eq!(derived(&[], &[there]).as_deref(), Some("postgres://there:5432"));
        assert_eq!(derived(&[here], &[there]).as_deref(), Some("postgres://here:5432"));
        assert_eq!(derived(&[], &[there, ("ledger_origin", "postgres://proxy:1")]), None);
        assert_eq!(derived(&[("ledger", "sqlite")], &[there]), None);
        assert_eq!(derived(&[], &[]), None);
    }

    #[test]
    fn an_origin_has_no_credentials_and_always_a_port() {
        assert_eq!(
            origin("postgres://shop:secret@db.example.org/orders?x=1"),
            "postgres://db.example.org:5432"
        );
        assert_eq!(origin("postgres://127.0.0.1:5433/orders"), "postgres://127.0.0.1:5433");
    }
}
