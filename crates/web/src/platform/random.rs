//! The platform's randomness.

/// `LENGTH` random bytes, good enough for secrets.
pub fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // The generator can't fail in a component, since wasi:random returns bytes and no result. It does not fail on the
    // systems that run our tests either. Continuing with predictable ids would be worse than ending the instance.
    #[allow(clippy::expect_used, reason = "see above")]
    getrandom::fill(&mut bytes).expect("the platform gives random bytes");
    bytes
}
