//! Each call of the API: the response when all is well, and each refusal.

/// Sales that are over, and drafts that nobody wants.
mod archive;
/// Money that must go back, events that could not be recorded: the operator's books.
mod books;
/// Sales and items as shoppers see them.
mod catalogue;
/// Challenges: wrong, late, reused, foreign.
mod challenges;
/// What calls cost: made-up ids, and lists of many.
mod costs;
/// The headers of every response, and which pages may act for a shopper.
mod headers;
/// Requests that no caller should send: broken JSON, wrong types, huge bodies, wrong methods, unknown routes.
mod inputs;
/// Allowances: 429 and its headers, for shoppers, addresses, items, polls, sessions and the operator's token.
mod limits;
/// The operator's calls.
mod operator;
/// Checkout and orders.
mod orders;
/// Services of others that are asked during a reservation: a hosted widget's, and a risk hook.
mod outsiders;
/// Pages and assets as a browser and a CDN ask for them.
mod pages;
/// Payments: the webhook, and the simulated provider that calls it.
mod payments;
/// Personal data: erased by an operator's call and by age.
mod personal;
/// Every call sent twice, and idempotency keys.
mod repeating;
/// Reservations: admitted, repeated, refused, given back.
mod reservations;
/// Rules, blocks and the log: what an operator changes while the shop runs.
mod rules;
/// Liveness, readiness, metrics, tick, request ids.
mod service;
/// Sessions: made, forged, limited.
mod sessions;
