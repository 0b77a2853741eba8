//! What was found, as a table for eyes, figures for JSON, and ratios.

use super::log::{Cell, Group, Latency};
use super::{BATCHES, Found, GROUPS};
use crate::report::{Figure, Report, median, number};

/// Who stands for P8.
const SUBJECT: &str = "Pollux";
const AOF: &str = "Redis";
/// Batches from this on are P8's: one fsync for several events.
const BATCHED: usize = 100;
/// The size of its events.
const SIZE: usize = 256;

/// Parts of a cell: what they are called, their unit, their value.
type Column = (&'static str, &'static str, fn(&Cell) -> f64);
const COLUMNS: [Column; 6] = [
    ("append", "events/s", |cell| cell.append.per_second),
    ("append, cost", "CPU-µs", |cell| cell.append.micros),
    ("accepted, median", "ms", |cell| cell.p50_ms),
    ("accepted, 99th percentile", "ms", |cell| cell.p99_ms),
    ("read", "events/s", |cell| cell.read.per_second),
    ("read, cost", "CPU-µs", |cell| cell.read.micros),
];
/// The same of a latency, all of them in milliseconds.
type Moment = (&'static str, fn(&Latency) -> f64);
const LATENCIES: [Moment; 4] = [
    ("accepted, median", |one| one.accepted[0]),
    ("accepted, 99th percentile", |one| one.accepted[1]),
    ("received after that, median", |one| one.received[0]),
    ("received after that, 99th percentile", |one| one.received[1]),
];

/// Tells all of it.
pub(super) fn tell(report: &mut Report, found: &[Found]) {
    report.table(table(found));
    for one in found {
        for (group, cells) in GROUPS.iter().zip(&one.cells) {
            for (batch, cells) in BATCHES.iter().zip(cells) {
                for (name, unit, part) in COLUMNS {
                    let name = format!("{}: {group}, batches of {batch}: {name}", one.name);
                    report.figure(Figure::new(name, unit, cells.iter().map(part).collect()).in_table());
                }
            }
        }
    }
    for one in found {
        for (name, part) in LATENCIES {
            let name = format!("{}: one event alone, {name}", one.name);
            report.figure(Figure::new(name, "ms", one.latencies.iter().map(part).collect()));
        }
    }
    let of = |name: &str| found.iter().find(|one| one.name == name);
    if let (Some(subject), Some(aof)) = (of(SUBJECT), of(AOF)) {
        p8(report, subject, aof);
    }
}

fn p8(report: &mut Report, subject: &Found, aof: &Found) {
    let mut worst = 0.0_f64;
    for (at, group) in GROUPS.iter().enumerate().filter(|(_, group)| group.size == SIZE) {
        for (batch, size) in BATCHES.iter().enumerate() {
            let ratio = cost(subject, at, batch) / cost(aof, at, batch);
            if *size >= BATCHED {
                worst = worst.max(ratio);
            }
            report.ratio(format!("CPU of a durable append against Redis: {group}, batches of {size}"), ratio);
        }
    }
    report.ratio("P8: the highest of those, batches of 100 and 1000", worst);
    report.note("P8's goal: 0.5 or less; moonshot: 0.2");
}

fn cost(found: &Found, group: usize, batch: usize) -> f64 {
    middle(&found.cells[group][batch], |cell| cell.append.micros)
}

fn middle(cells: &[Cell], part: fn(&Cell) -> f64) -> f64 {
    median(&cells.iter().map(part).collect::<Vec<_>>())
}

/// Medians; costs of the others are followed by how often they contain the first one's.
fn table(found: &[Found]) -> String {
    let heads = ["append/s", "CPU-µs", "", "accepted", "p99 ms", "read/s", "CPU-µs", ""];
    let mut text = row("", &heads.map(str::to_owned));
    for (at, group) in GROUPS.iter().enumerate() {
        for (batch, size) in BATCHES.iter().enumerate() {
            text.push_str(&format!("  {}\n", title(*group, *size)));
            for one in found {
                let cells = &one.cells[at][batch];
                let first = &found[0].cells[at][batch];
                let value = |column: usize| middle(cells, COLUMNS[column].2);
                let times = |column: usize| {
                    let ratio = value(column) / middle(first, COLUMNS[column].2);
                    if std::ptr::eq(cells, first) { String::new() } else { format!("×{}", number(ratio)) }
                };
                let columns = [
                    number(value(0)),
                    number(value(1)),
                    times(1),
                    number(value(2)),
                    number(value(3)),
                    number(value(4)),
                    number(value(5)),
                    times(5),
                ];
                text.push_str(&row(one.name, &columns));
            }
        }
    }
    text
}

fn title(group: Group, batch: usize) -> String {
    if batch == 1 { format!("{group}, one at a time") } else { format!("{group}, batches of {batch}") }
}

fn row(name: &str, columns: &[String; 8]) -> String {
    let mut text = format!("    {name:<10}");
    for column in columns {
        text.push_str(&format!(" {column:>9}"));
    }
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::log::Work;
    use super::*;

    fn found(name: &'static str, micros: f64) -> Found {
        let work = Work { per_second: 1e6 / micros, micros };
        let cell = Cell { append: work, p50_ms: 0.2, p99_ms: 0.9, read: work };
        let mut found = Found::new(name);
        for cells in found.cells.iter_mut().flatten() {
            cells.push(cell);
        }
        found.latencies.push(Latency { accepted: [0.3, 0.4], received: [0.1, 0.2] });
        found
    }

    #[test]
    fn the_goal_is_judged_by_the_worst_of_the_batches() {
        let mut report = Report::new("events", "all");
        let (mut pollux, redis) = (found(SUBJECT, 2.0), found(AOF, 8.0));
        // One at a time is not P8's.
        pollux.cells[0][0][0].append.micros = 80.0;
        pollux.cells[1][2][0].append.micros = 3.2;
        tell(&mut report, &[pollux, redis]);
        let text = report.text();
        let goal = text.lines().find(|line| line.contains("P8: the highest")).unwrap();
        assert!(goal.trim_end().ends_with("0.40"), "{text}");
        assert!(text.contains("256 B, 8 partitions, batches of 1000") && text.contains("×4.00"), "{text}");
        assert!(text.contains("Redis: one event alone, received after that, median"), "{text}");
    }

    #[test]
    fn without_redis_there_is_no_goal() {
        let mut report = Report::new("events", "all");
        tell(&mut report, &[found(SUBJECT, 2.0)]);
        assert!(!report.text().contains("P8"));
    }
}
