//! Every parser that sees bytes from outside, each behind one function that accepts any bytes. The function panics where
//! the parser panics or breaks its promise.
//!
//! There are two callers. In `fuzz/`, libFuzzer looks for inputs by coverage. This crate's own test replays all inputs
//! that were found so far, and mutates them. A target does more than call its parser: it asserts what holds of every
//! accepted input.

// A panic is how a target says that something is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod configured;
mod presented;
mod sent;
mod stored;

/// A target by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; `fuzz/fuzz_targets` has a file for each.
pub const TARGETS: &[Target] = &[
    ("allowed_hosts", configured::allowed_hosts),
    ("challenges", presented::challenges),
    ("events", stored::events),
    ("headers", sent::headers),
    ("ids", sent::ids),
    ("json", sent::json),
    ("jwks", presented::jwks),
    ("manifests", configured::manifests),
    ("messages", stored::messages),
    ("queries", sent::queries),
    ("routes", configured::routes),
    ("runtime_configs", configured::runtime_configs),
    ("sessions", presented::sessions),
    ("texts", sent::texts),
    ("tokens", presented::tokens),
    ("variables", configured::variables),
    ("webhooks", presented::webhooks),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(bytes);
}

/// The input as texts: what stands before each NUL, and the rest. Always `COUNT` of them.
fn texts<const COUNT: usize>(bytes: &[u8]) -> Option<[&str; COUNT]> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.splitn(COUNT, '\0');
    Some(std::array::from_fn(|_| parts.next().unwrap_or("")))
}
