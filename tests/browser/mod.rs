//! What shoppers see in a real Chromium.

/// Challenges of each kind, by keyboard, on a phone, and when something fails.
mod challenges;
/// Chromium, driven over WebDriver.
mod chromium;
/// Paying, on the simulated provider's page and back.
mod paying;
/// Purchases by clicks and keys.
mod purchase;
