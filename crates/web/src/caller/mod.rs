//! The caller: the shopper, operator, address and page that a request comes from, and the caller's allowances.

pub mod address;
pub mod allowances;
pub mod jwks;
pub mod jwt;
pub mod network;
pub mod operator;
pub mod page;
pub mod session;
