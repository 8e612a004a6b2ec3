//! What the runtime gives: Redis, settings, outbound HTTP, chance and time.

pub mod deadline;
pub mod outbound;
pub mod random;
pub mod redis;
pub mod settings;
