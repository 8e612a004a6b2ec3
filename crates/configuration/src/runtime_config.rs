//! Spin's runtime configuration: the store or database that each name stands for.
//!
//! Only the parts that this host serves are accepted; any other is an error that names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::manifest::located;

/// The name of the store and of the database that exist without configuration.
pub const DEFAULT: &str = "default";

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    #[serde(default)]
    key_value_store: BTreeMap<String, KeyValueStore>,
    #[serde(default)]
    sqlite_database: BTreeMap<String, SqliteDatabase>,
}

/// `[key_value_store.<name>]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum KeyValueStore {
    /// An SQLite file that only the host uses.
    Spin {
        /// Relative to the configuration file. Without a path the host uses a file in its state directory.
        path: Option<PathBuf>,
    },
    /// A Redis server; each key is a Redis key of the same name.
    Redis {
        /// May contain credentials and a database number.
        url: String,
    },
}

/// `[sqlite_database.<name>]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum SqliteDatabase {
    /// An SQLite file that only the host uses.
    Spin {
        /// Relative to the configuration file. Without a path the host uses a file in its state directory.
        path: Option<PathBuf>,
    },
}

impl RuntimeConfig {
    /// Reads the file and makes its paths absolute.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
        let mut config = Self::parse(&text).with_context(|| file.display().to_string())?;
        let base = file.parent().unwrap_or(Path::new(""));
        let stores = config.key_value_store.values_mut().filter_map(|store| match store {
            KeyValueStore::Spin { path } => path.as_mut(),
            KeyValueStore::Redis { .. } => None,
        });
        let databases =
            config.sqlite_database.values_mut().filter_map(|SqliteDatabase::Spin { path }| path.as_mut());
        for path in stores.chain(databases) {
            *path = base.join(&*path);
        }
        Ok(config)
    }

    /// Parses and checks a configuration's text.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| located(text, &error))?;
        for (name, store) in &config.key_value_store {
            if let KeyValueStore::Redis { url } = store {
                ensure!(
                    url.starts_with("redis://"),
                    "key_value_store.{name}: `url` must begin with redis:// (this host does not support TLS to Redis)"
                );
            }
        }
        Ok(config)
    }

    /// The store of this name, if there is one.
    pub fn key_value_store(&self, name: &str) -> Option<KeyValueStore> {
        let default = (name == DEFAULT).then_some(KeyValueStore::Spin { path: None });
        self.key_value_store.get(name).cloned().or(default)
    }

    /// The database of this name, if there is one.
    pub fn sqlite_database(&self, name: &str) -> Option<SqliteDatabase> {
        let default = (name == DEFAULT).then_some(SqliteDatabase::Spin { path: None });
        self.sqlite_database.get(name).cloned().or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_names_need_no_configuration() {
        let config = RuntimeConfig::default();
        assert_eq!(config.key_value_store("default"), Some(KeyValueStore::Spin { path: None }));
        assert_eq!(config.sqlite_database("default"), Some(SqliteDatabase::Spin { path: None }));
        assert_eq!(config.key_value_store("other"), None);
        assert_eq!(config.sqlite_database("other"), None);
    }

    #[test]
    fn paths_are_relative_to_the_configuration_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runtime.toml");
        std::fs::write(
            &file,
            "[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://h:1\"\n\
             [sqlite_database.default]\ntype = \"spin\"\npath = \"a/b.db\"\n",
        )
        .unwrap();
        let config = RuntimeConfig::read(&file).unwrap();
        assert_eq!(
            config.key_value_store("default"),
            Some(KeyValueStore::Redis { url: "redis://h:1".into() })
        );
        let path = Some(folder.path().join("a/b.db"));
        assert_eq!(config.sqlite_database("default"), Some(SqliteDatabase::Spin { path }));
    }

    #[test]
    fn an_error_names_what_this_host_does_not_serve() {
        for (text, word) in [
            ("[llm_compute]\ntype = \"spin\"", "llm_compute"),
            ("[key_value_store.default]\ntype = \"azure_cosmos\"", "azure_cosmos"),
            ("[key_value_store.default]\ntype = \"redis\"", "url"),
            ("[key_value_store.default]\ntype = \"redis\"\nurl = \"rediss://h\"", "TLS"),
            ("[sqlite_database.default]\ntype = \"libsql\"\nurl = \"x\"", "libsql"),
            ("[sqlite_database.default]\ntype = \"spin\"\npth = \"x\"", "pth"),
        ] {
            let message = format!("{:#}", RuntimeConfig::parse(text).unwrap_err());
            assert!(message.contains(word) && !message.contains('\n'), "{message}");
        }
    }
}
