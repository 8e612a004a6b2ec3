//! The results of a run, as a table, as JSON and as plots.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;
use stampede_tests::{checkout, program};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::load::Outcome;
use crate::measure::Settings;
use crate::plot;

/// All results of one run.
#[derive(Serialize)]
pub struct Report {
    started_at: String,
    machine: Machine,
    settings: Settings,
    throughput: Vec<Throughput>,
    figures: Vec<Figure>,
    components: Vec<Component>,
    /// Everything that was wrong.
    complaints: Vec<String>,
}

/// The machine and the programs of the run.
#[derive(Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    redis: String,
    commit: String,
}

/// The throughput and the latencies of one measurement.
#[derive(Clone, Serialize)]
pub struct Throughput {
    pub name: String,
    pub per_second: f64,
    pub right: u64,
    pub wrong: u64,
    /// Milliseconds; `None` if another program measured.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Shares of the responses, each with the milliseconds within which it came.
    pub curve: Vec<(f64, f64)>,
}

/// A figure with a budget.
#[derive(Serialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: String,
    pub budget: String,
    pub is_met: bool,
}

#[derive(Serialize)]
pub struct Component {
    pub name: String,
    pub bytes: u64,
}

/// How a figure is compared with its budget.
pub enum Budget {
    AtLeast(f64),
    Below(f64),
}

impl Report {
    pub fn begin(settings: &Settings) -> anyhow::Result<Report> {
        Ok(Report {
            started_at: now()?,
            machine: Machine::describe(),
            settings: settings.clone(),
            throughput: Vec::new(),
            figures: Vec::new(),
            components: Vec::new(),
            complaints: Vec::new(),
        })
    }

    /// Adds a measurement of our own generator, and prints it at once.
    pub fn add_outcome(&mut self, name: &str, outcome: &Outcome) {
        if outcome.wrong > 0 {
            let example = outcome.example.clone().unwrap_or_default();
            self.complain(format!("{name}: {} wrong responses, such as: {example}", outcome.wrong));
        }
        if outcome.right == 0 {
            self.complain(format!("{name}: not one right response"));
        }
        self.add(Throughput {
            name: name.to_owned(),
            per_second: outcome.rate(),
            right: outcome.right,
            wrong: outcome.wrong,
            p50_ms: Some(milliseconds_at(&outcome.latency, 0.5)),
            p99_ms: Some(milliseconds_at(&outcome.latency, 0.99)),
            curve: curve(&outcome.latency),
        });
    }

    /// Adds a reference that another program measured.
    pub fn add_reference(&mut self, name: &str, per_second: f64) {
        self.add(Throughput {
            name: name.to_owned(),
            per_second,
            right: 0,
            wrong: 0,
            p50_ms: None,
            p99_ms: None,
            curve: Vec::new(),
        });
    }

    fn add(&mut self, throughput: Throughput) {
        eprintln!("    {}: {:.0}/s", throughput.name, throughput.per_second);
        self.throughput.push(throughput);
    }

    pub fn add_figure(&mut self, name: &str, value: f64, unit: &str, budget: Budget) {
        let (is_met, budget) = match budget {
            Budget::AtLeast(least) => (value >= least, format!("≥ {least}")),
            Budget::Below(most) => (value < most, format!("< {most}")),
        };
        eprintln!("    {name}: {value:.2} {unit} (budget {budget})");
        self.figures.push(Figure { name: name.to_owned(), value, unit: unit.to_owned(), budget, is_met });
    }

    pub fn add_component(&mut self, name: &str, bytes: u64) {
        self.components.push(Component { name: name.to_owned(), bytes });
    }

    /// Notes that something is wrong. The run will fail.
    pub fn complain(&mut self, complaint: String) {
        eprintln!("    WRONG: {complaint}");
        self.complaints.push(complaint);
    }

    /// The throughput of an earlier measurement per second, if it was made.
    pub fn rate_of(&self, name: &str) -> Option<f64> {
        self.throughput
            .iter()
            .find(|throughput| throughput.name == name)
            .map(|throughput| throughput.per_second)
    }

    /// Whether nothing was wrong.
    pub fn is_right(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The results as Markdown tables.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let milliseconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let _ = writeln!(text, "\n| measured | per second | p50 ms | p99 ms | wrong |");
        let _ = writeln!(text, "| --- | ---: | ---: | ---: | ---: |");
        for row in &self.throughput {
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} | {} | {} |",
                row.name,
                row.per_second,
                milliseconds(row.p50_ms),
                milliseconds(row.p99_ms),
                row.wrong
            );
        }
        let _ = writeln!(text, "\n| budget | measured | wanted | |");
        let _ = writeln!(text, "| --- | ---: | ---: | --- |");
        for row in &self.figures {
            let verdict = if row.is_met { "met" } else { "MISSED" };
            let _ = writeln!(
                text,
                "| {} | {:.2} {} | {} | {verdict} |",
                row.name, row.value, row.unit, row.budget
            );
        }
        for complaint in &self.complaints {
            let _ = writeln!(text, "\nWrong: {complaint}");
        }
        text.push('\n');
        text
    }

    /// Writes the report into a folder under target/bench/ that is named after the start of the run.
    pub fn write(&self) -> anyhow::Result<PathBuf> {
        let folder = checkout().join("target/bench").join(self.started_at.replace(':', "-"));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        plot::bars(&folder.join("throughput.svg"), &self.throughput)?;
        plot::latencies(&folder.join("latency.svg"), &self.throughput)?;
        std::fs::write(folder.join("report.md"), self.markdown())?;
        Ok(folder)
    }

    fn markdown(&self) -> String {
        let Machine { processor, cores, kernel, redis, commit } = &self.machine;
        let Settings { seconds, connections, shoppers, .. } = &self.settings;
        let mut text = format!(
            "# Stampede measured, {}\n\n{cores} cores of {processor}, Linux {kernel}, {redis}, commit {commit}.\n\
             {seconds} s a measurement, {connections} connections, {shoppers} shoppers; the generator runs on the same machine.\n",
            self.started_at
        );
        text.push_str(&self.table());
        text.push_str("![Throughput](throughput.svg)\n\n![Latency](latency.svg)\n\n| component | KiB |\n| --- | ---: |\n");
        for component in &self.components {
            let _ = writeln!(text, "| {} | {:.0} |", component.name, component.bytes as f64 / 1024.0);
        }
        text
    }
}

impl Machine {
    fn describe() -> Machine {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = information.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned();
        let kernel =
            std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let redis = output_of(Command::new(program("redis-server")).arg("--version"));
        Machine {
            processor,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel,
            redis: redis.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            commit: output_of(
                Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(checkout()),
            ),
        }
    }
}

/// The standard output of a command; empty if it can't run.
fn output_of(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

fn now() -> anyhow::Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    Ok(OffsetDateTime::now_utc().format(format)?)
}

/// The milliseconds within which this share of the responses came.
pub fn milliseconds_at(latency: &Histogram<u64>, share: f64) -> f64 {
    latency.value_at_quantile(share) as f64 / 1000.0
}

fn curve(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let shares = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];
    shares.iter().map(|share| (*share, milliseconds_at(latency, *share))).collect()
}
