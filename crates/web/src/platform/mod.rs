//! What the runtime offers: Redis, the key-value store, settings, outbound HTTP, randomness and timeouts.

pub mod deadline;
pub mod outbound;
pub mod random;
pub mod redis;
pub(crate) mod remembered;
pub mod settings;
pub(crate) mod store;
