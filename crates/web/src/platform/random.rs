//! Randomness of the platform.

/// So many random bytes, fit for secrets.
pub fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // The platform's generator can't fail in a component (wasi:random returns bytes, not a result), nor on the systems
    // that tests run on. Going on with predictable ids would be worse than ending the instance.
    #[allow(clippy::expect_used, reason = "see above")]
    getrandom::fill(&mut bytes).expect("the platform gives random bytes");
    bytes
}
