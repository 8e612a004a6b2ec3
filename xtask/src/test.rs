//! `cargo xtask test [filter]`: every test there is, on private servers and free ports.
//!
//! Everything that tests start is built before, once: a test that finds a binary missing fails and names this
//! command. The tests of Rust come first, then those of the pages, which Node runs.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::interrupt::Interrupt;
use crate::workspace::Workspace;
use crate::{compile, console, pages, prerequisites};

/// Everything, in two goes. The host's own tests are built like the host, so that Wasmtime, which takes minutes, is built
/// once; all others are built for debugging.
const TESTED: [&[&str]; 2] = [&["--workspace", "--exclude", "host"], &["--release", "--package", "host"]];

pub struct Options {
    filter: Option<String>,
}

impl Options {
    pub fn parse(arguments: &mut lexopt::Parser) -> anyhow::Result<Options> {
        use lexopt::prelude::*;

        let mut filter = None;
        while let Some(argument) = arguments.next()? {
            match argument {
                Value(value) if filter.is_none() => filter = Some(value.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Options { filter })
    }
}

/// What one or several test binaries said of their results.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Test binaries that ended badly, whatever they had counted until then.
    broken: bool,
    failures: Vec<String>,
}

pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    let programs = [
        prerequisites::REDIS_SERVER,
        prerequisites::POSTGRES,
        prerequisites::CHROMIUM,
        prerequisites::CHROMEDRIVER,
        prerequisites::FAKETIME,
        prerequisites::NODE,
    ];
    prerequisites::ensure(&programs, interrupt)?;
    compile::ensure_wasm_target(&workspace, interrupt)?;
    compile::functions(&workspace, interrupt)?;
    compile::host(&workspace, interrupt)?;

    console::step("Building the tests");
    for packages in TESTED {
        let mut cargo = compile::cargo(&workspace, &["test", "--no-run"]);
        compile::succeed(interrupt, cargo.args(packages), "the tests did not build")?;
    }

    console::step("Running the tests");
    let mut tally = Tally::default();
    for packages in TESTED {
        let mut cargo = compile::cargo(&workspace, &["test", "--no-fail-fast"]);
        cargo.args(packages);
        if let Some(filter) = &options.filter {
            cargo.args(["--", filter.as_str()]);
        }
        follow(&mut cargo, interrupt, count, &mut tally)?;
    }
    for mut node in pages::tests(&workspace, options.filter.as_deref())? {
        follow(&mut node, interrupt, count_of_node, &mut tally)?;
    }

    console::step(&format!("Tests took {} s", started.elapsed().as_secs()));
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    if tally.broken && tally.failed == 0 {
        println!("a test program ended without saying which test failed; see above");
        tally.failed = 1;
    }
    if tally.passed + tally.failed == 0 {
        let filter = options.filter.as_deref().unwrap_or_default();
        anyhow::bail!("no test has a name that contains `{filter}`");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs `program`, which tests. `count` shows what it prints, and counts.
fn follow(
    program: &mut Command,
    interrupt: &Interrupt,
    count: fn(ChildStdout) -> Tally,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    // Both streams through one pipe would mix lines; results stand on standard output only.
    let mut reader = None;
    let status = interrupt.run_with(program.stdout(Stdio::piped()), |child| {
        reader = child.stdout.take().map(|output| std::thread::spawn(move || count(output)));
    })?;
    let counted = reader
        .context("the test program has no output")?
        .join()
        .map_err(|_| anyhow::anyhow!("cannot read the output of the test program"))?;
    tally.passed += counted.passed;
    tally.failed += counted.failed;
    tally.failures.extend(counted.failures);
    tally.broken |= !status.success();
    Ok(())
}

/// Counts what cargo test says.
fn count(output: impl std::io::Read) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("{line}");
        if let Some((passed, failed)) = parse_result(&line) {
            tally.passed += passed;
            tally.failed += failed;
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            tally.failures.push(name.to_owned());
        }
    }
    tally
}

/// Counts what Node's test runner says in the test anything protocol, and shows it in libtest's words.
fn count_of_node(output: impl std::io::Read) -> Tally {
    let mut tally = Tally::default();
    let mut is_explained = true;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(name) = result_of("ok ", &line) {
            is_explained = false;
            // A test that the filter leaves out.
            if !name.contains(" # SKIP") {
                tally.passed += 1;
                println!("test pages::{name} ... ok");
            }
        } else if let Some(name) = result_of("not ok ", &line) {
            is_explained = true;
            tally.failed += 1;
            tally.failures.push(format!("pages::{name}"));
            println!("test pages::{name} ... FAILED");
        } else if is_explained && line.starts_with(' ') {
            // What a failed test has to say stands below its name.
            println!("{line}");
        }
    }
    tally
}

/// The name in a line such as `ok 3 - a_clock_tells_the_time`.
fn result_of<'a>(word: &str, line: &'a str) -> Option<&'a str> {
    Some(line.strip_prefix(word)?.split_once(" - ")?.1)
}

/// The counts in libtest's closing line: `test result: ok. 3 passed; 0 failed; …`.
fn parse_result(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix("test result: ")?;
    let number_before = |word: &str| -> Option<usize> {
        rest.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
    };
    Some((number_before("passed")?, number_before("failed")?))
}

#[cfg(test)]
mod tests {
    use super::{count, count_of_node};

    #[test]
    fn results_of_several_programs_are_added_up() {
        let output = "running 3 tests\n\
            test ids::are_opaque ... ok\n\
            test keys::share_a_tag ... FAILED\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s\n";
        let tally = count(output.as_bytes());
        assert_eq!((tally.passed, tally.failed), (7, 1));
        assert_eq!(tally.failures, ["keys::share_a_tag"]);
    }

    #[test]
    fn results_of_the_pages_are_counted_without_what_a_filter_leaves_out() {
        let output = "TAP version 13\n\
            # Subtest: a_clock_drifts\n\
            ok 1 - a_clock_drifts\n  ---\n  duration_ms: 1.5\n  ...\n\
            ok 2 - a_clock_sleeps # SKIP test name does not match pattern\n\
            not ok 3 - a_clock_stops\n  ---\n  error: 'it went on'\n  ...\n\
            1..3\n# tests 3\n# pass 1\n# fail 1\n";
        let tally = count_of_node(output.as_bytes());
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(tally.failures, ["pages::a_clock_stops"]);
    }
}
