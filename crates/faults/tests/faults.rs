//! A few sales under faults, with seeds that stay. `cargo xtask prove --faults N` tries new ones.

#![allow(clippy::unwrap_used)]

use faults::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_under_faults_ends_right() {
    for seed in [1, 2] {
        println!("once more: cargo xtask prove --faults 1 --seed {seed}");
        let outcome = run(Plan::of(seed)).await.unwrap();
        assert!(outcome.findings.is_empty(), "{}{:#?}\n{}", outcome.plan, outcome.findings, outcome.logs);
    }
}
