//! What breaks, and that everything goes on by itself afterwards, with nothing oversold, lost or doubled.

/// The host is killed.
mod host;
/// Two of everything at once.
mod pairs;
/// Redis is killed, gone, or forgets its scripts.
mod redis;
/// The key-value store is emptied; the order database is locked.
mod stores;
