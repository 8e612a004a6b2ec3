//! Every test that needs the whole system: real components on the real host, a real Redis, a real database.
//!
//! Tests of one crate's own code stand in that crate. Here belongs:

// Also in functions that several tests share, a panic is how a test fails.
#![allow(clippy::unwrap_used)]

/// Each call of the API: the response when all is well, and each refusal. One file per call or concern.
mod api;
/// What an attacker tries.
mod attack;
/// What shoppers see in a real Chromium.
mod browser;
/// The served OpenAPI document itself. (The support library compares every response in every test with it.)
mod contract;
/// What breaks: processes killed, Redis gone, caches emptied, doorbells lost, two of everything.
mod faults;
/// Whole purchases, and whole crowds.
mod journeys;
/// The payment provider's side, for tests of money.
mod provider;
