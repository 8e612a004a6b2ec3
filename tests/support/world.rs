//! One call builds a whole shop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{AppendOnly, RedisServer, eventually};

use crate::client::Client;
use crate::contract::Contract;
use crate::crowd::crowd;
use crate::database::{OrderRow, orders_in};
use crate::host::{Host, Plan};
use crate::proxy::Proxy;
use crate::seller::{Item, ItemTerms, Seller};
use crate::shopper::Shopper;

const OPERATOR_TOKEN: &str = "operator-token-of-a-test-world-0123456789";
const SESSION_SECRET: &str = "session-secret-of-a-test-world-0123456789";
const WEBHOOK_SECRET: &str = "webhook-secret-of-a-test-world-0123456789";

/// A private shop. Its servers end with it.
pub struct World {
    // In the order of dropping: the host uses Redis, and writes to the folder.
    pub host: Host,
    pub redis: RedisServer,
    /// Between hosts and Redis, where the test asked for one.
    pub way_to_redis: Option<Proxy>,
    plan: Plan,
    client: Client,
    folder: TempDir,
}

/// How a world differs from the ordinary one, which has allowances off and a proof of work that takes no time.
pub struct WorldBuilder {
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    clock_off_by: i64,
    checked: bool,
    way_to_redis: Option<Proxy>,
    append_only: AppendOnly,
}

impl World {
    pub async fn start() -> World {
        World::builder().start().await
    }

    /// A world, and one published item in it that is on sale: `3` for its stock, or [`ItemTerms`].
    pub async fn selling(terms: impl Into<ItemTerms>) -> (World, Item) {
        World::builder().selling(terms).await
    }

    pub fn builder() -> WorldBuilder {
        let defaults = [
            ("session_secret", SESSION_SECRET),
            ("admin_token", OPERATOR_TOKEN),
            ("payment_provider", "simulated"),
            ("payment_webhook_secret", WEBHOOK_SECRET),
            ("captcha_kind", "pow"),
            ("captcha_difficulty", "4"),
            ("rate_limits", "off"),
        ];
        let variables = defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        WorldBuilder {
            variables,
            arguments: Vec::new(),
            clock_off_by: 0,
            checked: true,
            way_to_redis: None,
            append_only: AppendOnly::EverySecond,
        }
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn seller(&self) -> Seller {
        Seller::new(self.client.bearing(OPERATOR_TOKEN))
    }

    /// A shopper with a session of their own.
    pub async fn shopper(&self) -> Shopper {
        Shopper::arrive(&self.client).await
    }

    /// So many shoppers, each with a session of their own.
    pub async fn shoppers(&self, count: usize) -> Vec<Shopper> {
        crowd(count, 64, |_| {
            let client = self.client.clone();
            async move { Shopper::arrive(&client).await }
        })
        .await
    }

    /// One more host on the same Redis and the same stores, as a second machine or a rolling update would be.
    pub async fn start_another_host(&self) -> Host {
        self.start_host_with_clock_off_by(self.plan.clock_off_by).await
    }

    /// One more host, on a machine whose clock is wrong by so many seconds.
    pub async fn start_host_with_clock_off_by(&self, seconds: i64) -> Host {
        let mut plan = self.plan.clone();
        plan.clock_off_by = seconds;
        plan.log = self.folder.path().join("another-host.log");
        Host::start(plan).await
    }

    pub fn operator_token(&self) -> &'static str {
        OPERATOR_TOKEN
    }

    pub fn session_secret(&self) -> &'static str {
        SESSION_SECRET
    }

    pub fn webhook_secret(&self) -> &'static str {
        WEBHOOK_SECRET
    }

    /// Where the host keeps key-value stores and databases.
    pub fn state_folder(&self) -> &Path {
        &self.plan.state
    }

    /// Waits until the order database has `count` orders. Fails unless it then has exactly so many.
    pub async fn recorded_orders(&self, count: usize, patience: Duration) -> Vec<OrderRow> {
        let rows = eventually("every order is in the database", patience, async || {
            let rows = orders_in(self.state_folder());
            (rows.len() >= count).then_some(rows)
        })
        .await;
        assert_eq!(rows.len(), count, "every order is in the database, and once");
        rows
    }

    /// A place for a test's own files, gone with the world.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl WorldBuilder {
    /// Sets a variable of spin.toml.
    pub fn set(mut self, name: &str, value: impl ToString) -> WorldBuilder {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Leaves a variable as spin.toml has it.
    pub fn unset(mut self, name: &str) -> WorldBuilder {
        self.variables.remove(name);
        self
    }

    /// Adds arguments to the host's command line.
    pub fn argue(mut self, arguments: &[&str]) -> WorldBuilder {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The clock of the host's machine is wrong by so many seconds. The clock of Redis is right.
    pub fn with_clock_off_by(mut self, seconds: i64) -> WorldBuilder {
        self.clock_off_by = seconds;
        self
    }

    /// Hosts reach Redis through `proxy`, which the test can break.
    pub fn with_redis_behind(mut self, proxy: Proxy) -> WorldBuilder {
        self.way_to_redis = Some(proxy);
        self
    }

    /// What Redis keeps on its disk.
    pub fn with_append_only(mut self, append_only: AppendOnly) -> WorldBuilder {
        self.append_only = append_only;
        self
    }

    /// The host hears no doorbell and no alarm, so polls and ticks have to drive everything.
    pub fn without_doorbells(self) -> WorldBuilder {
        self.argue(&["--triggers", "http"])
    }

    /// Responses are not compared with the OpenAPI document: in a crowd, the comparison would be most of the work.
    pub fn unchecked(mut self) -> WorldBuilder {
        self.checked = false;
        self
    }

    /// Starts the world, and publishes one item in it: `3` for its stock, or [`ItemTerms`].
    pub async fn selling(self, terms: impl Into<ItemTerms>) -> (World, Item) {
        let world = self.start().await;
        let item = world.seller().publish(&terms.into()).await;
        (world, item)
    }

    pub async fn start(mut self) -> World {
        let folder = TempDir::with_prefix("stampede-").expect("a temporary folder");
        let redis = RedisServer::on_port(self.append_only).await;
        let url = match &self.way_to_redis {
            Some(proxy) => {
                proxy.lead_to(redis.port());
                format!("redis://127.0.0.1:{}", proxy.port())
            }
            None => redis.url(),
        };
        self.variables.insert("redis_url".to_owned(), url.clone());
        self.variables.insert("redis_origin".to_owned(), url);
        let plan = Plan {
            state: folder.path().join("state"),
            log: folder.path().join("host.log"),
            variables: self.variables,
            arguments: self.arguments,
            clock_off_by: self.clock_off_by,
        };
        let host = Host::start(plan.clone()).await;
        let mut client = Client::new(&host.base());
        if self.checked {
            let document = client.get("/api/openapi.json").send().await;
            client = client.checked_against(Arc::new(Contract::read(document.json())));
        }
        World { host, redis, way_to_redis: self.way_to_redis, plan, client, folder }
    }
}

/// Texts that no log may contain, whatever a test did: secrets, tokens, and postal addresses.
const UNSPEAKABLE: [&str; 6] =
    [OPERATOR_TOKEN, SESSION_SECRET, WEBHOOK_SECRET, "eyJhbGciOi", "Racecourse Road", "138 0000 0000"];

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.host.log();
            for secret in UNSPEAKABLE {
                assert!(!log.contains(secret), "`{secret}` is in the host's log");
            }
        }
        if std::thread::panicking() {
            eprintln!("--- the host's log, {}\n{}", self.host.base(), self.host.last_words());
            eprintln!("---");
        }
    }
}
