//! Things break, and everything goes on by itself afterwards, with nothing oversold, lost or doubled.

/// Payments doubled, reordered, late and forged, while hosts are killed.
mod chaos;
/// A host's clock is wrong by an hour.
mod clock;
/// The host is killed.
mod host;
/// The order database is gone or restarted in mid-sale: SQLite and PostgreSQL.
mod ledger;
/// Redis is emptied, or comes back from an old copy: the order database brings the sale back.
mod lost;
/// Two of everything at once.
mod pairs;
/// An operator's call dies between two of its steps.
mod publishing;
/// Redis is killed, gone, out of disk, or forgets its scripts.
mod redis;
/// The key-value store is emptied.
mod stores;
