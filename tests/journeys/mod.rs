//! Whole purchases, and whole crowds.

/// Thousands at once, and how many of them get something.
mod crowds;
/// `cargo xtask up` itself, as a newcomer meets it.
mod door;
/// One shopper from the list of sales to an order in the database.
mod purchase;
