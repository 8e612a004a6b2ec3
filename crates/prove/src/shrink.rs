//! A failing walk, made as short as it can be while it still fails.

use crate::model::Wish;
use crate::steps::Step;

/// Leaves out steps, in large pieces and then in small ones, for as long as `fails` says that the rest still fails.
pub fn shrink(
    steps: Vec<Step>,
    mut fails: impl FnMut(&[Step]) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<Step>> {
    let mut best = steps;
    let mut size = best.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut got_shorter = false;
        while at < best.len() {
            let end = (at + size).min(best.len());
            let shorter: Vec<Step> = best[..at].iter().chain(&best[end..]).cloned().collect();
            if fails(&shorter)? {
                best = shorter;
                got_shorter = true;
            } else {
                at = end;
            }
        }
        // What was needed before may not be any more.
        size = if got_shorter && size == 1 { 1 } else { size / 2 };
    }
    for at in 0..best.len() {
        for simpler in simpler(&best[at]) {
            let mut steps = best.clone();
            steps[at] = simpler;
            if fails(&steps)? {
                best = steps;
            }
        }
    }
    Ok(best)
}

/// The same step with less to it.
fn simpler(step: &Step) -> Vec<Step> {
    match step.clone() {
        Step::Wish(wish) => vec![
            Step::Wish(Wish { challenge: None, ..wish }),
            Step::Wish(Wish { quantity: 1, ..wish }),
            Step::Wish(Wish { quantity: 1, challenge: None, address: None, ..wish }),
        ],
        Step::Wait(millis) => [1, 10, 300, 1_000, 10_000, 60_000]
            .into_iter()
            .filter(|shorter| *shorter < millis)
            .rev()
            .map(Step::Wait)
            .collect(),
        Step::Mend { .. } => vec![Step::Mend { one_stage: false, dies: None }],
        Step::Alarm { .. } => vec![Step::Alarm { dies: None }],
        Step::Collect { .. } => vec![Step::Collect { dies: None }],
        Step::Copy { .. } => {
            vec![Step::Copy { most: 250, database_gone: false, dies_before_acknowledging: false }]
        }
        Step::Grant { .. } => vec![Step::Grant { most: 500 }],
        Step::Lapse { .. } => vec![Step::Lapse { most: 200 }],
        _ => Vec::new(),
    }
}
