//! Where the things are that a test starts. They are built by `cargo xtask test`, never by a test.

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

/// An installed program, also one that only administrators have in their PATH.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed; run `cargo xtask test`, which installs it"))
}

/// The library that shows a program another time than it is.
pub(crate) fn fake_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|candidate| candidate.is_file())
        .expect("`faketime` is not installed; run `cargo xtask test`, which installs it")
}
