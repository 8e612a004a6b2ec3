//! Where a test finds the artefacts that it starts. `cargo xtask test` builds them; a test never does.

use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the checkout")
}

/// The host's binary.
pub(crate) fn host_binary() -> PathBuf {
    let path = checkout().join("target/release/host");
    assert!(path.is_file(), "{} is not built; run `cargo xtask test`", path.display());
    path
}

/// Where compiled components are kept from one host to the next.
pub(crate) fn component_cache() -> PathBuf {
    checkout().join("target/compiled")
}

/// Where tests leave pictures of what they saw.
pub fn screenshots() -> PathBuf {
    let folder = checkout().join("target/screenshots");
    std::fs::create_dir_all(&folder).expect("target/ is ours to write");
    folder
}

/// The library that shows a program a wrong time.
pub(crate) fn fake_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|candidate| candidate.is_file())
        .expect("`faketime` is not installed; run `cargo xtask test`, which installs it")
}
