//! Replays every input that a fuzzer found worth keeping; then the same inputs, changed at random.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;
use proptest::prelude::*;
use proptest::sample::Index;

/// How many random inputs each target gets.
const CASES: u32 = 600;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn every_target_stands_what_was_found() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 3, "the corpus of {name} has {} inputs", inputs.len());
        for input in inputs {
            target(&input);
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        let program = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("\"{name}\"")), "{name}'s program runs another target");
    }
    let mut folders: Vec<String> = std::fs::read_dir(fuzz.join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(folders, names);
}

/// One change to an input.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Drop(Index),
    Append(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<Index>().prop_map(Change::Cut),
        any::<Index>().prop_map(Change::Drop),
        any::<Index>().prop_map(Change::Append),
    ]
}

fn apply(mut input: Vec<u8>, changes: &[Change], all: &[Vec<u8>]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Put(at, byte) if !input.is_empty() => {
                let at = at.index(input.len());
                input[at] = *byte;
            }
            Change::Insert(at, bytes) => {
                let at = at.index(input.len() + 1);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Cut(at) => input.truncate(at.index(input.len() + 1)),
            Change::Drop(at) if !input.is_empty() => {
                input.remove(at.index(input.len()));
            }
            Change::Append(which) => input.extend(&all[which.index(all.len())]),
            Change::Put(..) | Change::Drop(_) => {}
        }
    }
    input
}

#[test]
fn every_target_stands_what_was_found_with_changes() {
    for (name, target) in TARGETS {
        let all = corpus(name);
        let strategy = (any::<Index>(), prop::collection::vec(change(), 1..6));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: CASES,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&strategy, |(which, changes)| {
            target(&apply(all[which.index(all.len())].clone(), &changes, &all));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_target_stands_anything() {
    for (name, target) in TARGETS {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: CASES,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(
            &prop_oneof![prop::collection::vec(any::<u8>(), 0..200), ".{0,80}".prop_map(String::into_bytes)],
            |input| {
                target(&input);
                Ok(())
            },
        );
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
