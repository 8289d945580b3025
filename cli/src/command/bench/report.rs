//! What was measured, for people and for scripts.

use std::io::{self, Write};

use clap::builder::styling::Style;
use serde::Serialize;

use crate::workload::{self, Latencies, Load, Outcome, Workload};

/// What was measured.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report {
    seconds: f64,
    connections: usize,
    rounds: u16,
    workloads: Vec<Table>,
}

/// A workload, with what each subject made of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    workload: &'static str,
    unit: &'static str,
    cpu_unit: &'static str,
    subjects: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    name: String,
    /// One figure a round.
    rounds: Vec<f64>,
    median: f64,
    /// The median, in parts of the yardstick's, where there is one.
    ratio: Option<f64>,
    /// CPU time of both sides' threads, the kernel's share included; the median.
    cpu: f64,
    #[serde(rename = "latency-us")]
    latency: Option<Percentiles>,
}

/// Of all rounds, in microseconds.
#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
}

/// What one subject makes of a workload, round by round.
pub(super) struct Row {
    name: String,
    is_yardstick: bool,
    figures: Vec<f64>,
    cpu: Vec<f64>,
    latencies: Latencies,
}

impl Row {
    pub(super) fn new(name: String, is_yardstick: bool) -> Self {
        let latencies = workload::latencies();
        Self { name, is_yardstick, figures: Vec::new(), cpu: Vec::new(), latencies }
    }

    /// Adds a round.
    pub(super) fn add(&mut self, workload: Workload, outcome: Outcome) {
        let Outcome { amount, time, cpu, latencies } = outcome;
        let (amount, time, cpu) = (amount as f64, time.as_secs_f64(), cpu.as_secs_f64());
        let (figure, cpu) = match workload {
            Workload::BulkSend | Workload::BulkReceive => (amount * 8e-9 / time, cpu / (amount * 1e-9)),
            Workload::RoundTrips | Workload::Connections => (amount / time, cpu * 1e6 / amount),
        };
        self.figures.push(figure);
        self.cpu.push(cpu);
        self.latencies += latencies;
    }

    fn into_line(self, yardstick: Option<f64>) -> Line {
        let Self { name, is_yardstick: _, figures, cpu, latencies } = self;
        let median = median(&figures);
        let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        let percentiles = || Percentiles { p50: micros(0.5), p99: micros(0.99), p99_9: micros(0.999) };
        Line {
            name,
            rounds: figures,
            median,
            ratio: yardstick.map(|yardstick| median / yardstick),
            cpu: self::median(&cpu),
            latency: (!latencies.is_empty()).then(percentiles),
        }
    }
}

impl Report {
    pub(super) fn new(load: Load, rounds: u16) -> Self {
        let Load { duration, connections } = load;
        Self { seconds: duration.as_secs_f64(), connections, rounds, workloads: Vec::new() }
    }

    /// Adds a workload that all subjects have gone through.
    pub(super) fn add(&mut self, workload: Workload, rows: Vec<Row>) {
        let yardstick = rows.iter().find(|row| row.is_yardstick).map(|row| median(&row.figures));
        let (unit, cpu_unit) = match workload {
            Workload::BulkSend | Workload::BulkReceive => ("Gbit/s", "CPU s/GB"),
            Workload::RoundTrips | Workload::Connections => ("per second", "CPU µs each"),
        };
        let subjects = rows.into_iter().map(|row| row.into_line(yardstick)).collect();
        self.workloads.push(Table { workload: name(workload), unit, cpu_unit, subjects });
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { seconds, connections, rounds, workloads } = self;
        writeln!(
            out,
            "rounds of {seconds} s: {rounds}, of which medians are shown; connections at a time: {connections}"
        )?;
        workloads.iter().try_for_each(|table| table.write(out))
    }
}

impl Table {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { workload, unit, cpu_unit, subjects } = self;
        let bold = Style::new().bold();
        let has = |column: fn(&Line) -> bool| subjects.iter().any(column);
        let (ratios, latencies) = (has(|line| line.ratio.is_some()), has(|line| line.latency.is_some()));
        write!(out, "\n{bold}{workload:<36}{bold:#} {unit:>10}")?;
        if ratios {
            write!(out, " {:>7}", "ratio")?;
        }
        write!(out, " {cpu_unit:>12}")?;
        if latencies {
            write!(out, " {:>9} {:>9} {:>9}", "p50 µs", "p99 µs", "p99.9 µs")?;
        }
        writeln!(out)?;
        subjects.iter().try_for_each(|line| line.write(out))
    }
}

impl Line {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { name, rounds: _, median, ratio, cpu, latency } = self;
        let digits = if *median < 1e3 { 2 } else { 0 };
        write!(out, "  {name:<34} {median:>10.digits$}")?;
        if let Some(ratio) = ratio {
            write!(out, " {ratio:>7.2}")?;
        }
        write!(out, " {cpu:>12.2}")?;
        if let Some(Percentiles { p50, p99, p99_9 }) = latency {
            write!(out, " {p50:>9.1} {p99:>9.1} {p99_9:>9.1}")?;
        }
        writeln!(out)
    }
}

/// A workload by its name.
pub(super) fn name(workload: Workload) -> &'static str {
    match workload {
        Workload::BulkSend => "bulk-send",
        Workload::BulkReceive => "bulk-receive",
        Workload::RoundTrips => "round-trips",
        Workload::Connections => "connections",
    }
}

/// The middle one, or the upper one of two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(name: &str, is_yardstick: bool, gigabytes: [u64; 3]) -> Row {
        let mut row = Row::new(name.to_owned(), is_yardstick);
        for amount in gigabytes {
            let (time, cpu) = (Duration::from_secs(1), Duration::from_secs(2));
            let outcome =
                Outcome { amount: amount * 1_000_000_000, time, cpu, latencies: workload::latencies() };
            row.add(Workload::BulkSend, outcome);
        }
        row
    }

    #[test]
    fn medians_are_set_in_relation_to_the_yardstick() {
        let load = Load { duration: Duration::from_secs(1), connections: 1 };
        let mut report = Report::new(load, 3);
        report.add(Workload::BulkSend, vec![row("ours", false, [1, 9, 2]), row("theirs", true, [4, 4, 3])]);
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line: Vec<_> =
            text.lines().find(|line| line.contains("ours")).unwrap().split_whitespace().collect();
        // 2 GB in a second, half of the yardstick's 4, for two seconds of CPU time.
        assert_eq!(line, ["ours", "16.00", "0.50", "1.00"]);
    }
}
