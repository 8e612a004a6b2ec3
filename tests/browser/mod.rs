//! What shoppers see in a real Chromium.

/// Chromium, driven over WebDriver.
mod chromium;
/// Purchases by clicks and keys.
mod purchase;
