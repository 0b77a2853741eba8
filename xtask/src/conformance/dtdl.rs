//! The parser cases of the Digital Twin Consortium through `pollux twin model validate --ndjson`: how many valid sets are accepted and
//! how many invalid ones refused, for each version of DTDL. Data only, from `../shared/cases/dtdl` or the folder that POLLUX_CASES
//! names; where it is missing, the step is skipped.

use crate::report::Tally;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `--only` calls it.
pub(super) const NAME: &str = "dtdl";
/// The line of `--list`.
pub(super) const ABOUT: &str =
    "the DTDL parser cases through `pollux twin model validate --ndjson`, per version";
/// Folders of cases; those of identifiers alone are a test of the crate.
const FOLDERS: [&str; 2] = ["specification", "doc-examples"];
/// Wrong answers that are shown.
const SHOWN: usize = 20;

/// One case: what it is called, the version it is written in, what is expected, and its line.
struct Case {
    name: String,
    version: u8,
    valid: bool,
    line: String,
}

/// Right answers and cases, of the valid ones and of the invalid ones.
#[derive(Default)]
struct Score {
    valid: (usize, usize),
    invalid: (usize, usize),
}

/// Runs all cases and counts them; every wrong answer is a failure.
pub(super) fn run(binary: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    let folder = folder();
    if !folder.is_dir() {
        let reason = format!("{} is missing", folder.display());
        println!("skip  {NAME}: {reason}");
        tally.skip(NAME, reason);
        return Ok(tally);
    }
    let started = workspace::now();
    let cases = read(&folder)?;
    let answers = ask(binary, &cases)?;
    let mut scores: BTreeMap<u8, Score> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        ensure!(answer["id"] == case.name.as_str(), "{}: answered for {} instead", case.name, answer["id"]);
        let right = answer["valid"] == case.valid;
        let score = scores.entry(case.version).or_default();
        let half = if case.valid { &mut score.valid } else { &mut score.invalid };
        half.0 += usize::from(right);
        half.1 += 1;
        tally.check(right);
        if !right {
            let word = if case.valid { "valid" } else { "invalid" };
            wrong.push(format!("{}: it is {word}; {}", case.name, answer["errors"]));
        }
    }
    let word = if tally.failed == 0 { "ok  " } else { "FAIL" };
    println!("{word}  {NAME:28} {tally}  ({:.1} s)", started.elapsed().as_secs_f64());
    for (version, score) in &scores {
        let (valid, invalid) = (score.valid, score.invalid);
        println!(
            "      DTDL v{version}: valid {}/{} accepted ({:.2} %), invalid {}/{} refused ({:.2} %)",
            valid.0,
            valid.1,
            percent(valid),
            invalid.0,
            invalid.1,
            percent(invalid)
        );
    }
    for line in wrong.iter().take(SHOWN) {
        println!("      FAIL  {line}");
    }
    Ok(tally)
}

/// As the tests of `crates/dtdl` find it.
fn folder() -> PathBuf {
    let shared = || workspace::shared().unwrap_or_else(|| workspace::root().join("../shared")).join("cases");
    workspace::env("POLLUX_CASES").map_or_else(shared, PathBuf::from).join("dtdl")
}

fn percent((right, all): (usize, usize)) -> f64 {
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if all == 0 { 100.0 } else { 100.0 * count(right) / count(all) }
}

fn read(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for name in FOLDERS {
        let folder = folder.join(name);
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        for path in paths {
            file(&path, &mut cases).with_context(|| format!("{}", path.display()))?;
        }
    }
    Ok(cases)
}

fn file(path: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let content: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let all = match content {
        Value::Array(all) => all,
        one => vec![one],
    };
    for (number, case) in all.into_iter().enumerate() {
        let Value::Object(case) = case else { continue };
        let valid = case.get("valid").and_then(Value::as_bool).context("a case says whether it is valid")?;
        let name = format!("{stem}#{number}");
        let version = version(&stem, &case);
        cases.push(Case { line: line(&name, case), name, version, valid });
    }
    Ok(())
}

/// The version of DTDL that a case is about. Files are named for it, but those of an extension for the extension's version.
fn version(stem: &str, case: &Map<String, Value>) -> u8 {
    let named = stem.bytes().last().map_or(0, |digit| digit.saturating_sub(b'0'));
    if !stem.starts_with(|c: char| c.is_ascii_lowercase()) {
        return named;
    }
    let text = case.get("input").map(Value::to_string).unwrap_or_default();
    (2..=4).rev().find(|version| text.contains(&format!("dtmi:dtdl:context;{version}"))).unwrap_or(named)
}

/// What the validator is given: the case without its expectations.
fn line(name: &str, mut case: Map<String, Value>) -> String {
    for expectation in ["valid", "expect", "desirable"] {
        case.remove(expectation);
    }
    case.insert("id".to_owned(), name.into());
    Value::Object(case).to_string()
}

fn ask(binary: &Path, cases: &[Case]) -> Result<Vec<Value>> {
    let mut child = Command::new(binary)
        .args(["twin", "model", "validate", "--ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let mut input = child.stdin.take().context("its standard input is piped")?;
    let output = child.stdout.take().context("its standard output is piped")?;
    let answers = std::thread::scope(|scope| -> Result<Vec<Value>> {
        // Beside reading, so that neither pipe fills up while the other side waits.
        let writer = scope.spawn(move || -> std::io::Result<()> {
            for case in cases {
                writeln!(input, "{}", case.line)?;
            }
            Ok(())
        });
        let answers = BufReader::new(output)
            .lines()
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect::<Result<Vec<Value>>>();
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer ended early"))?
            .context("it does not read on")?;
        answers
    });
    let status = child.wait()?;
    let answers = answers?;
    ensure!(status.success(), "it ended with {status}");
    ensure!(answers.len() == cases.len(), "{} answers to {} sets", answers.len(), cases.len());
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_counted_under_its_version() {
        let case = |context: &str| {
            let case = serde_json::json!({"valid": true, "input": [{"@context": [context]}], "options": []});
            case.as_object().expect("an object").clone()
        };
        assert_eq!(version("Requirement-RootV3", &case("dtmi:dtdl:context;2")), 3);
        assert_eq!(version("mqttDocExample-en-US-1-V1", &case("dtmi:dtdl:context;4#limitless")), 4);
        let line = line("a#0", case("dtmi:dtdl:context;2"));
        assert!(line.contains("\"id\":\"a#0\"") && !line.contains("valid"), "{line}");
    }
}
