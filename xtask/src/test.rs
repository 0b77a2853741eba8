//! `cargo xtask test`: format, lints, tidy, tests, doc tests, the files for deployment, conformance on each setup, faults, in this order, with one summary at the end.

use crate::conformance::{self, setup::Setup};
use crate::report::{Tally, count};
use crate::run::{Cmd, available};
use crate::workspace::{self, PROFILE};
use crate::{faults, tidy};
use anyhow::Result;
use pollux_testkit::deployment::program;

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the conformance suite out (it is then listed as skipped).
    #[arg(long)]
    no_conformance: bool,
    /// Leave the faults out (they are then listed as skipped).
    #[arg(long)]
    no_faults: bool,
}

/// Runs everything that can run here. A failing step does not stop the later ones: one run shows all that is wrong.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut tally = Tally::default();
    step("rustfmt", &mut tally, |tally| {
        tally.check(Cmd::new("cargo").args(["fmt", "--all", "--check"]).status()?);
        Ok(())
    });
    step("clippy", &mut tally, |tally| {
        let clippy = [
            "clippy",
            "--profile",
            PROFILE,
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ];
        tally.check(Cmd::new("cargo").args(clippy).status()?);
        Ok(())
    });
    step("tidy", &mut tally, |tally| {
        tally.add(tidy::tally()?);
        Ok(())
    });
    step("tests", &mut tally, tests);
    step("doc tests", &mut tally, doc_tests);
    step("files for deployment", &mut tally, deployment_files);
    if args.no_conformance {
        tally.skip("conformance", "--no-conformance was given");
    } else {
        // One node on PostgreSQL and JetStream shows nothing that three do not, and takes as long.
        for setup in [Setup::default(), Setup::servers(3)] {
            step(&format!("conformance on {setup}"), &mut tally, |tally| {
                let binary = workspace::tested_binary()?;
                tally.add(conformance::tally(&conformance::Args::all(setup, binary))?);
                Ok(())
            });
        }
    }
    if args.no_faults {
        tally.skip("faults", "--no-faults was given");
    } else {
        step("faults", &mut tally, |tally| {
            workspace::tested_binary()?;
            tally.add(faults::tally(&faults::Args::here(FEW))?);
            Ok(())
        });
    }
    Ok(tally.conclude())
}

/// Devices while faults are made here: a machine that has just compiled and will test on is not the place for a thousand.
const FEW: usize = 300;

/// Checks what is below `deploy/`. What needs a container engine is left out there and said so, but is no skip: no
/// machine that runs this has to have one.
fn deployment_files(tally: &mut Tally) -> Result<()> {
    let (good, said, errors) = Cmd::new("deploy/check").output()?;
    print!("{said}");
    eprint!("{errors}");
    let of = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    let mut checks = Tally { passed: of("ok "), failed: of("failed "), ..Tally::default() };
    if checks.passed == 0 || (!good && checks.failed == 0) {
        checks.failed += 1;
    }
    tally.add(checks);
    Ok(())
}

/// Runs one step under a heading; an error of the step itself counts as one failure.
fn step(name: &str, tally: &mut Tally, run: impl FnOnce(&mut Tally) -> Result<()>) {
    println!("== {name}");
    let started = workspace::now();
    let before = (tally.failed, tally.wrong.len());
    if let Err(error) = run(tally) {
        println!("{name}: {error:#}");
        tally.fail(name, &format!("{error:#}"));
    }
    if tally.failed > before.0 && tally.wrong.len() == before.1 {
        tally.wrong.push((name.to_owned(), format!("{} failed, as said above", tally.failed - before.0)));
    }
    println!("   {name}: {:.1} s", started.elapsed().as_secs_f64());
}

/// What tests of a backend start; where it is missing they say so and pass, so the skip is counted here.
const BACKENDS: [(&str, &str); 2] = [("tests on PostgreSQL", "postgres"), ("tests on NATS", "nats-server")];

fn tests(tally: &mut Tally) -> Result<()> {
    for (what, name) in BACKENDS {
        if let Err(reason) = program(name) {
            tally.skip(what, reason.to_string());
        }
    }
    if available("cargo-nextest") {
        let nextest = [
            "nextest",
            "run",
            "--cargo-profile",
            PROFILE,
            "--workspace",
            "--no-fail-fast",
            "--status-level",
            "fail",
            "--color",
            "never",
        ];
        let (good, log) = Cmd::new("cargo").args(nextest).tee_stderr()?;
        tally.add(nextest_summary(&log).unwrap_or_else(|| one(good)));
        return Ok(());
    }
    let (good, stdout, stderr) = Cmd::new("cargo")
        .args(["test", "--profile", PROFILE, "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])
        .output()?;
    print!("{stdout}");
    if !good {
        eprint!("{stderr}");
    }
    tally.add(libtest_summary(&stdout).unwrap_or_else(|| one(good)));
    Ok(())
}

fn doc_tests(tally: &mut Tally) -> Result<()> {
    let (good, stdout, stderr) = Cmd::new("cargo")
        .args(["test", "--profile", PROFILE, "--workspace", "--doc", "--no-fail-fast"])
        .output()?;
    if !good {
        print!("{stdout}");
        eprint!("{stderr}");
    }
    tally.add(libtest_summary(&stdout).unwrap_or_else(|| one(good)));
    Ok(())
}

/// A run without a readable summary: one failure, or one pass.
fn one(good: bool) -> Tally {
    let mut tally = Tally::default();
    tally.check(good);
    tally
}

/// Reads nextest's last line: `Summary [ 1.2s] 35 tests run: 33 passed (1 slow), 2 failed, 1 skipped`.
fn nextest_summary(log: &str) -> Option<Tally> {
    let line =
        log.lines().rev().find(|line| line.trim_start().starts_with("Summary [") && line.contains("run:"))?;
    let counts = line.split("run:").nth(1)?;
    let bad = count(counts, "failed") + count(counts, "timed out") + count(counts, "exec failed");
    let mut tally = Tally { passed: count(counts, "passed"), failed: bad, ..Tally::default() };
    let ended_badly =
        |line: &&str| ["FAIL [", "TIMEOUT [", "SIG"].iter().any(|word| line.trim_start().starts_with(word));
    let mut wrong: Vec<&str> =
        log.lines().filter(ended_badly).filter_map(|line| line.split(") ").last()).collect();
    wrong.sort_unstable();
    wrong.dedup(); // once as it happened, once at the end
    tally.wrong.extend(wrong.into_iter().map(|name| ("tests".to_owned(), name.to_owned())));
    for _ in 0..count(counts, "skipped") {
        tally.skip("a test", "marked #[ignore]");
    }
    Some(tally)
}

/// Adds up libtest's lines: `test result: ok. 4 passed; 0 failed; 1 ignored; …`.
fn libtest_summary(log: &str) -> Option<Tally> {
    let mut tally = Tally::default();
    let mut any = false;
    for line in log.lines().filter(|line| line.starts_with("test result:")) {
        any = true;
        tally.passed += count(line, "passed");
        tally.failed += count(line, "failed");
        for _ in 0..count(line, "ignored") {
            tally.skip("a test", "marked #[ignore]");
        }
    }
    any.then_some(tally)
}

#[cfg(test)]
mod tests {
    use super::{libtest_summary, nextest_summary};

    #[test]
    fn reads_the_summary_of_nextest() {
        let log = "     TIMEOUT [ 360.032s] (1339/1339) pollux-services twins::tests::slow\n\
                   \x20  Summary [   0.123s] 36 tests run: 33 passed (1 slow), 2 failed, 1 timed out, 4 skipped\n\
                   \x20    TIMEOUT [ 360.032s] (1339/1339) pollux-services twins::tests::slow\n\
                   \x20       FAIL [   0.011s] (  12/1339) pollux-edges::mqtt hub::fast\n";
        let tally = nextest_summary(log).expect("a summary line");
        assert_eq!((tally.passed, tally.failed, tally.skipped.len()), (33, 3, 4));
        let names: Vec<&str> = tally.wrong.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["pollux-edges::mqtt hub::fast", "pollux-services twins::tests::slow"]);
        assert!(nextest_summary("error: could not compile").is_none());
    }

    #[test]
    fn adds_up_the_summaries_of_libtest() {
        let log = "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                   test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let tally = libtest_summary(log).expect("two summary lines");
        assert_eq!((tally.passed, tally.failed, tally.skipped.len()), (6, 3, 1));
    }
}
