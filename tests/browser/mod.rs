//! The pages in a real Chromium, as shoppers see them.

/// Challenges of each kind, by keyboard, on a phone, and when something fails.
mod challenges;
/// Chromium, driven over WebDriver.
mod chromium;
/// Paying, on the simulated provider's page and back.
mod paying;
/// Purchases by clicks and keys.
mod purchase;
/// The words of the pages.
mod words;
