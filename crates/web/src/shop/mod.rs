//! What several functions know of the shop: the published catalogue, challenges, payments and the views of an order.

pub mod blocklist;
pub mod catalogue;
pub mod challenge;
pub mod mark;
pub mod payment;
pub mod puzzles;
pub mod rules;
pub mod views;
pub mod worker;
