//! A few sales under faults, with seeds that stay, and one that nobody has seen before.

#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use faults::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_under_faults_ends_right() {
    let new = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    for seed in [1, 2, new] {
        println!("once more: cargo xtask prove --faults 1 --seed {seed}");
        let outcome = run(Plan::of(seed)).await.unwrap();
        assert!(outcome.findings.is_empty(), "{}{:#?}\n{}", outcome.plan, outcome.findings, outcome.logs);
    }
}
