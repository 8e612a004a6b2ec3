//! What several functions share about the shop: the catalogue as published, challenges, payments, blocks and rules, and
//! the views of items, reservations and orders.

pub mod blocklist;
pub mod catalogue;
pub mod challenge;
pub mod mark;
pub mod payment;
pub mod publishing;
pub mod rules;
pub mod views;
pub mod worker;
