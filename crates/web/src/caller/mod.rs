//! Who sends a request: a shopper, an operator or an address, and what each of them may still do.

pub mod address;
pub mod allowances;
pub mod jwks;
pub mod jwt;
pub mod network;
pub mod operator;
pub mod page;
pub mod session;
