//! Parses `spin.toml`, manifest version 2.
//!
//! A field that Spin does not know is an error that names it. A field that Spin knows and this host does not serve
//! (a model, a composed dependency, another kind of trigger) is an error too. Otherwise a part of the application would
//! be missing without a word.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    // `Manifest::parse` has checked it.
    #[serde(rename = "spin_manifest_version")]
    _spin_manifest_version: u32,
    /// `[application]`.
    pub application: Application,
    /// `[variables]`: every setting of the application.
    #[serde(default)]
    pub variables: BTreeMap<String, VariableDeclaration>,
    /// `[[trigger.http]]` and `[[trigger.redis]]`.
    #[serde(default)]
    pub trigger: Triggers,
    /// `[component.<id>]`.
    #[serde(default)]
    pub component: BTreeMap<String, Component>,
}

/// `[application]`; only the name and the trigger defaults matter to a runtime.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The application's name, for messages.
    pub name: String,
    #[serde(default, rename = "version")]
    _version: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Vec<toml::Value>,
    /// `[application.trigger.redis]`: the address that Redis triggers listen to.
    #[serde(default)]
    pub trigger: ApplicationTriggers,
    #[serde(default, rename = "tool")]
    _tool: toml::Table,
}

/// Settings for all triggers of a kind.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationTriggers {
    /// `[application.trigger.redis]`.
    pub redis: Option<RedisDefaults>,
}

/// `[application.trigger.redis]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisDefaults {
    /// A Redis URL; may contain variables.
    pub address: String,
}

/// One entry of `[variables]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableDeclaration {
    /// The value if nobody gives one.
    pub default: Option<String>,
    /// Whether the application refuses to start without a value.
    #[serde(default)]
    pub required: bool,
    /// Whether the value must never be shown.
    #[serde(default)]
    pub secret: bool,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

/// The triggers of the kinds that this host serves.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triggers {
    /// The routes, and the components that serve them.
    #[serde(default)]
    pub http: Vec<HttpTrigger>,
    /// The channels, and the components that handle their messages.
    #[serde(default)]
    pub redis: Vec<RedisTrigger>,
}

/// `[[trigger.http]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTrigger {
    #[serde(default, rename = "id")]
    _id: Option<String>,
    /// A path pattern, or `{ private = true }`.
    pub route: Route,
    /// The component that handles requests to the route.
    pub component: String,
    /// The interface through which the component is called; this host serves only Spin's default.
    pub executor: Option<Executor>,
}

/// What a trigger's `route` may be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Route {
    /// A pattern such as `/items/:id` or `/static/...`.
    Pattern(String),
    /// No public route at all.
    Private {
        /// Must be true.
        private: bool,
    },
}

/// `executor = { type = "http" }`.
#[derive(Debug, Deserialize)]
pub struct Executor {
    /// `http` or `spin`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `[[trigger.redis]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisTrigger {
    #[serde(default, rename = "id")]
    _id: Option<String>,
    /// The exact name of the channel; patterns are not supported.
    pub channel: String,
    /// The URL of the Redis server, if it is not the one of `[application.trigger.redis]`; may contain variables.
    pub address: Option<String>,
    /// The component that handles messages.
    pub component: String,
}

/// `[component.<id>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The wasm file, relative to the manifest.
    pub source: Source,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    /// The values that the guest reads through `spin:variables`, as templates, by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Environment variables of the guest.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The files that the guest may read.
    #[serde(default)]
    pub files: Vec<FilesMount>,
    /// Files that stay hidden from the guest although `files` matches them.
    #[serde(default)]
    pub exclude_files: Vec<String>,
    /// The addresses that the guest may connect to, as templates.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    allowed_http_hosts: Vec<String>,
    /// The key-value stores that the guest may open.
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    /// The SQLite databases that the guest may open.
    #[serde(default)]
    pub sqlite_databases: Vec<String>,
    #[serde(default)]
    ai_models: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Vec<toml::Value>,
    /// `[component.<id>.build]`: when the wasm file is missing, the error shows this command.
    pub build: Option<Build>,
    #[serde(default, rename = "tool")]
    _tool: toml::Table,
    #[serde(default)]
    dependencies: toml::Table,
    #[serde(default, rename = "dependencies_inherit_configuration")]
    _dependencies_inherit_configuration: bool,
    #[serde(default, rename = "profile")]
    _profile: toml::Table,
}

/// A component's wasm file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A path.
    Local(PathBuf),
    /// A URL or a registry package, which this host does not fetch.
    Remote(toml::Table),
}

/// One entry of `files`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum FilesMount {
    /// A path or a glob relative to the manifest; the guest sees it at the same path below `/`.
    Pattern(String),
    /// A directory or file on the host, and the path at which the guest sees it.
    Placement {
        /// Relative to the manifest.
        source: PathBuf,
        /// An absolute path in the guest.
        destination: PathBuf,
    },
}

/// `[component.<id>.build]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The command that builds the wasm file.
    pub command: Commands,
    /// Where the command runs, relative to the manifest.
    pub workdir: Option<PathBuf>,
    #[serde(default, rename = "watch")]
    _watch: Vec<String>,
    #[serde(default, rename = "environment")]
    _environment: toml::Table,
}

/// One command or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Commands {
    /// One.
    Single(String),
    /// Several, in order.
    Several(Vec<String>),
}

impl Build {
    /// All commands, as one line for a shell.
    pub fn line(&self) -> String {
        let commands = match &self.command {
            Commands::Single(command) => command.clone(),
            Commands::Several(commands) => commands.join(" && "),
        };
        match &self.workdir {
            Some(workdir) => format!("cd {} && {commands}", workdir.display()),
            None => commands,
        }
    }
}

impl Manifest {
    /// Reads and checks the file; every error names the file and, where there is one, the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Parses and checks a manifest's text.
    pub fn parse(text: &str) -> Result<Self> {
        // Check the version first: a manifest of another version has other fields, whose errors would mislead.
        let version = toml::from_str::<toml::Table>(text)
            .map_err(|error| located(text, &error))?
            .get("spin_manifest_version")
            .and_then(toml::Value::as_integer);
        ensure!(version == Some(2), "spin_manifest_version must be 2");
        let manifest: Self = toml::from_str(text).map_err(|error| located(text, &error))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        for name in self.variables.keys() {
            check_variable_name(name)?;
        }
        for (name, variable) in &self.variables {
            ensure!(
                variable.required != variable.default.is_some(),
                "variable `{name}` must have either `default` or `required = true`"
            );
        }
        for (id, component) in &self.component {
            component.check().with_context(|| format!("component `{id}`"))?;
        }
        let known: HashSet<&str> = self.component.keys().map(String::as_str).collect();
        for trigger in &self.trigger.http {
            ensure!(
                known.contains(trigger.component.as_str()),
                "a route names the component `{}`, which does not exist",
                trigger.component
            );
            if let Some(executor) = &trigger.executor {
                ensure!(
                    matches!(executor.kind.as_str(), "http" | "spin"),
                    "component `{}`: this host does not serve the executor `{}`",
                    trigger.component,
                    executor.kind
                );
            }
            if let Route::Private { private: false } = trigger.route {
                bail!("component `{}`: a route is a pattern or {{ private = true }}", trigger.component);
            }
        }
        for trigger in &self.trigger.redis {
            ensure!(
                known.contains(trigger.component.as_str()),
                "the channel `{}` names the component `{}`, which does not exist",
                trigger.channel,
                trigger.component
            );
            ensure!(
                trigger.address.is_some() || self.application.trigger.redis.is_some(),
                "the channel `{}` has no `address`, and [application.trigger.redis] sets none",
                trigger.channel
            );
        }
        Ok(())
    }
}

impl Component {
    fn check(&self) -> Result<()> {
        if let Source::Remote(_) = self.source {
            bail!("`source` is not a local file, and this host does not download components");
        }
        ensure!(self.ai_models.is_empty(), "this host does not support `ai_models`");
        ensure!(self.dependencies.is_empty(), "this host does not support `dependencies`");
        ensure!(
            self.allowed_http_hosts.is_empty(),
            "`allowed_http_hosts` is obsolete: write `allowed_outbound_hosts`"
        );
        self.variables.keys().try_for_each(|name| check_variable_name(name))
    }
}

/// Checks that a variable's name is lower snake case, as Spin requires.
pub fn check_variable_name(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let valid = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_');
    ensure!(valid, "`{name}` is not a variable name: lower case letters, digits and single underscores");
    Ok(())
}

/// Puts the TOML library's message on one line, after the number of the line in `text` that is wrong.
pub fn located(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let message = error.message().replace('\n', ", ");
    match error.span() {
        Some(span) => {
            let line = text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
            anyhow!("line {line}: {message}")
        }
        None => anyhow!("{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"a\"\n";

    fn error(rest: &str) -> String {
        format!("{:#}", Manifest::parse(&format!("{HEAD}{rest}")).unwrap_err())
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let message = error("[component.x]\nsource = \"x.wasm\"\nkey_value_store = [\"default\"]\n");
        assert!(message.contains("line 6") && message.contains("`key_value_store`"), "{message}");
        let message = error("[[trigger.cron]]\ncomponent = \"x\"\n");
        assert!(message.contains("`cron`"), "{message}");
    }

    #[test]
    fn another_manifest_version_is_refused_by_name() {
        let message =
            format!("{:#}", Manifest::parse("spin_manifest_version = \"1\"\nname = \"x\"").unwrap_err());
        assert!(message.contains("spin_manifest_version must be 2"), "{message}");
    }

    #[test]
    fn a_trigger_of_a_missing_component_is_refused() {
        let message = error("[[trigger.http]]\nroute = \"/\"\ncomponent = \"ghost\"\n");
        assert!(message.contains("`ghost`"), "{message}");
    }

    #[test]
    fn a_redis_trigger_needs_an_address() {
        let message = error(
            "[[trigger.redis]]\nchannel = \"c\"\ncomponent = \"x\"\n[component.x]\nsource = \"x.wasm\"\n",
        );
        assert!(message.contains("address"), "{message}");
    }

    #[test]
    fn what_this_host_does_not_serve_is_refused() {
        for (field, word) in [
            ("ai_models = [\"llama2-chat\"]", "ai_models"),
            ("allowed_http_hosts = [\"example.com\"]", "allowed_outbound_hosts"),
            ("dependencies = { \"a:b/c\" = \"1\" }", "dependencies"),
        ] {
            let message = error(&format!("[component.x]\nsource = \"x.wasm\"\n{field}\n"));
            assert!(message.contains(word), "{message}");
        }
        let message =
            error("[component.x]\nsource = { url = \"https://a.example/x.wasm\", digest = \"sha256:0\" }\n");
        assert!(message.contains("source"), "{message}");
    }

    #[test]
    fn a_variable_has_a_default_or_is_required() {
        assert!(error("[variables]\na = { secret = true }\n").contains("`a`"));
        assert!(error("[variables]\nA = { required = true }\n").contains("`A`"));
    }

    #[test]
    fn every_part_of_a_manifest_is_read() {
        let manifest = Manifest::parse(&format!(
            "{HEAD}[application.trigger.redis]\naddress = \"{{{{ u }}}}\"\n[variables]\nu = {{ required = true }}\n\
             [[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"x\"\n\
             [[trigger.redis]]\nchannel = \"c\"\ncomponent = \"x\"\n\
             [component.x]\nsource = \"x.wasm\"\nfiles = [\"a/*\", {{ source = \"b\", destination = \"/c\" }}]\n\
             [component.x.build]\ncommand = [\"one\", \"two\"]\nworkdir = \"d\"\nwatch = [\"e\"]\n"
        ))
        .unwrap();
        let build = manifest.component["x"].build.as_ref().unwrap();
        assert_eq!(build.line(), "cd d && one && two");
        assert_eq!(manifest.component["x"].files.len(), 2);
    }
}
