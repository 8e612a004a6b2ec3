//! The folders of the checkout, and the parts of spin.toml that xtask reads.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The checkout that this xtask belongs to.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub fn find() -> anyhow::Result<Workspace> {
        // `cargo run` sets the variable. A binary that is started by hand uses the folder it was built from.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("xtask has no folder above it")?.to_owned();
        anyhow::ensure!(root.join("spin.toml").is_file(), "there is no spin.toml in {}", root.display());
        Ok(Workspace { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The checkout's own target folder, even if the environment names another: spin.toml points into this one.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    pub fn host_binary(&self) -> PathBuf {
        self.target().join("release/host")
    }

    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        let path = self.root.join("spin.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Manifest::parse(&text).with_context(|| format!("{} is not as expected", path.display()))
    }
}

/// The parts of spin.toml that xtask needs.
pub struct Manifest {
    /// Component ids. Each is also the name of a package.
    pub components: Vec<String>,
    /// Names of all settings.
    pub variables: Vec<String>,
}

impl Manifest {
    fn parse(text: &str) -> anyhow::Result<Manifest> {
        let document: toml::Table = text.parse()?;
        let names = |table: &str| -> anyhow::Result<Vec<String>> {
            let entries = document.get(table).and_then(toml::Value::as_table);
            Ok(entries.with_context(|| format!("no table [{table}]"))?.keys().cloned().collect())
        };
        Ok(Manifest { components: names("component")?, variables: names("variables")? })
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn the_manifest_names_components_and_variables() {
        let manifest = Manifest::parse(
            "[variables]\nredis_url = { required = true }\n[component.site]\nsource = 'x'\n[component.grant]\n",
        )
        .unwrap();
        assert_eq!(manifest.components, ["grant", "site"]);
        assert_eq!(manifest.variables, ["redis_url"]);
    }
}
