//! Removes the white space from docs/openapi.json. Half of the file is indentation, and the component must stay small.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../docs/openapi.json");
    println!("cargo::rerun-if-changed={}", source.display());
    let document: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&source)?).context("docs/openapi.json")?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("openapi.json"), document.to_string())?;
    Ok(())
}
