//! Turns a manifest into components that can run: resolves names, mounts files, opens databases and loads code.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::allowed_hosts::AllowedHosts;
use crate::compile::{self, Wasm};
use crate::component::Component;
use crate::manifest::{Manifest, Route, Source};
use crate::mounts;
use crate::options::{Options, TriggerKind};
use crate::platform::key_value::{Backend, SqliteFile};
use crate::platform::sqlite::Database;
use crate::platform::{self, Services};
use crate::runtime_config::{KeyValueStore, RuntimeConfig, SqliteDatabase};
use crate::state::State;
use crate::variables::{ENVIRONMENT_PREFIX, Variables};

/// The names that Spin gives these files, so that both runtimes find the same data in one state directory.
const KEY_VALUE_FILE: &str = "sqlite_key_value.db";
const DATABASE_FILE: &str = "sqlite_db.db";

/// An application that was read and not yet loaded.
pub struct Application {
    manifest: Manifest,
    variables: Variables,
    runtime_config: RuntimeConfig,
    base: PathBuf,
    state_dir: PathBuf,
}

/// A component and its code.
pub type Loaded = (Arc<Component>, InstancePre<State>);

impl Application {
    /// Reads the manifest, the variables and the runtime configuration that the options name.
    pub fn read(options: &Options) -> Result<Self> {
        let path = options.manifest();
        let manifest = Manifest::read(&path)?;
        let base = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
            .to_owned();
        let variables = variables(&manifest, options)?;
        let runtime_config = match &options.runtime_config {
            Some(file) => RuntimeConfig::read(file)?,
            None => RuntimeConfig::default(),
        };
        let state_dir = options.state_dir.clone().unwrap_or_else(|| base.join(".spin"));
        std::fs::create_dir_all(&state_dir).with_context(|| format!("can't make {}", state_dir.display()))?;
        Ok(Self { manifest, variables, runtime_config, base, state_dir })
    }

    /// The folder for the application's databases, cache and copied files.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The public routes, each with its component's id.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.manifest.trigger.http.iter().filter_map(|trigger| match &trigger.route {
            Route::Pattern(pattern) => Some((pattern.as_str(), trigger.component.as_str())),
            Route::Private { .. } => None,
        })
    }

    /// The channels of each Redis server, each with its component's id. The keys are URLs with credentials.
    ///
    /// # Errors
    /// Fails if a channel has no address, or one that is not a `redis://` URL.
    pub fn channels(&self) -> Result<BTreeMap<String, Vec<(&str, &str)>>> {
        let mut servers: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
        for trigger in &self.manifest.trigger.redis {
            let default = self.manifest.application.trigger.redis.as_ref().map(|defaults| &defaults.address);
            let address = trigger.address.as_ref().or(default);
            let address =
                address.with_context(|| format!("the channel `{}` has no address", trigger.channel))?;
            let address = self.variables.expand(address, "the Redis trigger's address")?;
            if !address.text.starts_with("redis://") {
                bail!("the Redis trigger's address must begin with redis://, and is {address:?}");
            }
            servers.entry(address.text).or_default().push((&trigger.channel, &trigger.component));
        }
        Ok(servers)
    }

    /// The ids of the components behind triggers of these kinds.
    fn used(&self, kinds: &[TriggerKind]) -> BTreeSet<&str> {
        let http = self.manifest.trigger.http.iter().map(|trigger| trigger.component.as_str());
        let redis = self.manifest.trigger.redis.iter().map(|trigger| trigger.component.as_str());
        let http = http.filter(|_| kinds.contains(&TriggerKind::Http));
        http.chain(redis.filter(|_| kinds.contains(&TriggerKind::Redis))).collect()
    }

    /// Prepares and loads the components behind the triggers that the options ask for, by id.
    ///
    /// # Errors
    /// Fails if a component asks for something that does not exist or that this host does not support.
    pub fn load(&self, options: &Options, engine: &Engine) -> Result<HashMap<String, Loaded>> {
        let limits = &options.limits;
        let services = Arc::new(Services {
            redis: platform::redis::Servers::new(limits.redis_connections, limits.redis_timeout),
            postgres: platform::postgres::Servers::default(),
        });
        let mut shared = Shared::default();
        let mut components = Vec::new();
        let mut files = Vec::new();
        for id in self.used(&options.triggers) {
            let what = || format!("component `{id}`");
            let component = self.component(id, &services, &mut shared, limits.max_instance_memory, engine);
            components.push(Arc::new(component.with_context(what)?));
            files.push(self.wasm(id)?);
        }
        let cache = options.cache_dir.clone().unwrap_or_else(|| self.state_dir.join("cache"));
        let code = compile::load(engine, &cache, &files)?;

        let mut linker = Linker::new(engine);
        platform::link(&mut linker).map_err(|error| anyhow!("{error:#}"))?;
        let mut loaded = HashMap::new();
        for (component, code) in components.into_iter().zip(code) {
            let linked = linker.instantiate_pre(&code).map_err(|error| {
                anyhow!(
                    "component `{}` needs an interface that this host does not support: {error:#}",
                    component.id
                )
            })?;
            loaded.insert(component.id.to_string(), (component, linked));
        }
        Ok(loaded)
    }

    fn wasm(&self, id: &str) -> Result<Wasm> {
        let component = &self.manifest.component[id];
        let Source::Local(source) = &component.source else {
            bail!("component `{id}`: `source` is not a local file")
        };
        let build = component.build.as_ref().map(|build| build.line());
        Ok(Wasm { id: id.to_owned(), path: self.base.join(source), build })
    }

    fn component(
        &self,
        id: &str,
        services: &Arc<Services>,
        shared: &mut Shared,
        max_memory: usize,
        engine: &Engine,
    ) -> Result<Component> {
        let declared = &self.manifest.component[id];
        let mut variables = HashMap::new();
        for (name, template) in &declared.variables {
            let value = self.variables.expand(template, &format!("the variable `{name}`"))?;
            variables.insert(name.clone(), value.text);
        }
        let mut rules = Vec::new();
        for template in &declared.allowed_outbound_hosts {
            let rule = self.variables.expand(template, &format!("allowed_outbound_hosts `{template}`"))?;
            // Parse the rules one by one: if the value is a secret, the error names the template instead.
            let parsed = AllowedHosts::parse([rule.text.as_str()]);
            match parsed {
                Err(_) if rule.secret => {
                    bail!("allowed_outbound_hosts: the value of `{template}` is not an allowed host")
                }
                Err(error) => return Err(error.context("allowed_outbound_hosts")),
                Ok(_) => rules.push(rule.text),
            }
        }
        let staging = mounts::staging(&self.state_dir, id)?;
        let mut key_value_stores = HashMap::new();
        for name in &declared.key_value_stores {
            key_value_stores.insert(name.clone(), self.store(name, services, shared)?);
        }
        let mut sqlite_databases = HashMap::new();
        for name in &declared.sqlite_databases {
            sqlite_databases.insert(name.clone(), self.database(name, shared)?);
        }
        Ok(Component {
            id: id.into(),
            variables,
            environment: declared.environment.clone().into_iter().collect(),
            mounts: mounts::prepare(&declared.files, &declared.exclude_files, &self.base, &staging)?,
            allowed_hosts: AllowedHosts::parse(rules.iter().map(String::as_str))?,
            key_value_stores,
            sqlite_databases,
            services: services.clone(),
            max_memory,
            engine: engine.clone(),
        })
    }

    fn store(&self, name: &str, services: &Services, shared: &mut Shared) -> Result<Arc<Backend>> {
        if let Some(store) = shared.stores.get(name) {
            return Ok(store.clone());
        }
        let configured = self.runtime_config.key_value_store(name);
        let configured = configured
            .with_context(|| format!("the key-value store `{name}` is not in the runtime configuration"))?;
        let store = match configured {
            KeyValueStore::Spin { path } => {
                let path = self.path_of(path, KEY_VALUE_FILE)?;
                let file = match shared.files.get(&path) {
                    Some(file) => file.clone(),
                    None => Arc::new(SqliteFile::open(&path)?),
                };
                shared.files.insert(path, file.clone());
                Backend::Sqlite { file, name: name.to_owned() }
            }
            KeyValueStore::Redis { url } => {
                let server = services.redis.server(&url);
                // The library's message could repeat the URL, which may contain a password.
                Backend::Redis(
                    server.map_err(|_| anyhow!("key_value_store.{name}: `url` is not a Redis URL"))?,
                )
            }
        };
        let store = Arc::new(store);
        shared.stores.insert(name.to_owned(), store.clone());
        Ok(store)
    }

    fn database(&self, name: &str, shared: &mut Shared) -> Result<Arc<Database>> {
        if let Some(database) = shared.databases.get(name) {
            return Ok(database.clone());
        }
        let configured = self.runtime_config.sqlite_database(name);
        let SqliteDatabase::Spin { path } = configured
            .with_context(|| format!("the database `{name}` is not in the runtime configuration"))?;
        let default = if name == crate::runtime_config::DEFAULT {
            DATABASE_FILE.to_owned()
        } else {
            format!("{name}.db")
        };
        let database = Database::open(&self.path_of(path, &default)?)?;
        shared.databases.insert(name.to_owned(), database.clone());
        Ok(database)
    }

    /// The configured path, or else the default in the state directory. Makes its folder.
    fn path_of(&self, configured: Option<PathBuf>, default: &str) -> Result<PathBuf> {
        let path = configured.unwrap_or_else(|| self.state_dir.join(default));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        }
        Ok(path)
    }
}

/// Stores and databases that several components may name. Each is opened once.
#[derive(Default)]
struct Shared {
    stores: HashMap<String, Arc<Backend>>,
    files: HashMap<PathBuf, Arc<SqliteFile>>,
    databases: HashMap<String, Arc<Database>>,
}

fn variables(manifest: &Manifest, options: &Options) -> Result<Variables> {
    let given: HashMap<&str, &str> =
        options.variable.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if let Some(unknown) = given.keys().find(|name| !manifest.variables.contains_key(**name)) {
        bail!("--variable {unknown}: the manifest declares no such variable");
    }
    let file = match &options.variables_file {
        Some(path) => read_variables(path)?,
        None => HashMap::new(),
    };
    let given = |name: &str| given.get(name).map(|value| (*value).to_owned());
    let file = |name: &str| file.get(name).cloned();
    let environment =
        |name: &str| std::env::var(format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase())).ok();
    Variables::resolve(&manifest.variables, &[&given, &file, &environment])
}

fn read_variables(path: &Path) -> Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    // The library's message could repeat a value, which may be a secret. So the error only gives the line.
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        anyhow!("{}: line {line} is not `name = \"value\"`", path.display())
    })
}
