//! Many walks, on all processors.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::redis::Defect;
use crate::shrink::shrink;
use crate::story;
use crate::walk::{World, steps_of};

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Time(Duration),
    Walks(u64),
}

/// What many walks came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub walks: u64,
    pub steps: u64,
    /// What was seen: kinds of steps and what was said to them.
    pub seen: BTreeSet<String>,
    /// The story of the first failure.
    pub failure: Option<String>,
}

/// Walks from `seed` on, each with the next seed, until one fails.
pub fn run(seed: u64, until: Until, threads: usize, defects: &[Defect]) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let outcome = Mutex::new(Outcome::default());
    let failed = || outcome.lock().is_ok_and(|outcome| outcome.failure.is_some());
    std::thread::scope(|scope| {
        let walker = || -> anyhow::Result<()> {
            let mut world = World::new(defects)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_over = match until {
                    Until::Time(time) => begun.elapsed() >= time && number > 0,
                    Until::Walks(walks) => number >= walks,
                };
                if is_over || failed() {
                    return Ok(());
                }
                let (steps, seen, failure) = walk(&mut world, seed.wrapping_add(number))?;
                if let Ok(mut outcome) = outcome.lock() {
                    outcome.walks += 1;
                    outcome.steps += steps;
                    outcome.seen.extend(seen);
                    if outcome.failure.is_none() {
                        outcome.failure = failure;
                    }
                }
            }
        };
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(walker)).collect();
        for thread in threads {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        anyhow::Ok(())
    })?;
    outcome.into_inner().map_err(|_| anyhow::anyhow!("a walker panicked"))
}

/// One walk: its steps, and its shortest story where it failed.
fn walk(world: &mut World, seed: u64) -> anyhow::Result<(u64, BTreeSet<String>, Option<String>)> {
    let mut steps = steps_of(seed);
    let walked = world.walk(&steps, false)?;
    let taken = walked.steps as u64;
    let Some(failure) = walked.failure else { return Ok((taken, walked.seen, None)) };
    steps.truncate(failure.at + 1);
    let short = shrink(steps, |steps| Ok(world.walk(steps, false)?.failure.is_some()))?;
    let again = world.walk(&short, true)?;
    let story = match &again.failure {
        Some(failure) => story::tell(seed, &again.story, failure),
        None => format!("seed {seed} failed once and not again: {:?}", failure.differences),
    };
    Ok((taken, walked.seen, Some(story)))
}
