//! What breaks, and that everything goes on by itself afterwards, with nothing oversold, lost or doubled.

/// A host's clock is wrong by an hour.
mod clock;
/// The host is killed.
mod host;
/// Two of everything at once.
mod pairs;
/// Redis is killed, gone, out of disk, or forgets its scripts.
mod redis;
/// The key-value store is emptied; the order database is locked.
mod stores;
