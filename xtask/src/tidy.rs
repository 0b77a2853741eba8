//! `cargo xtask tidy`: the rules of the house that compilers and lints cannot check. One check per file below `tidy/`.
//!
//! A check is a function from the [`Tree`] (all text files, read once) to [`Finding`]s. It never touches the disk itself, so its
//! tests hand it a tree made of strings.

mod allow;
mod dead;
mod dependencies;
mod flows;
mod header;
mod layers;
mod length;
mod mod_rs;
mod paths;
mod scenarios;
mod tree;
mod unfinished;
mod unwrap;
mod wildcard;

pub(crate) use tree::{File, Tree};

use crate::report::Tally;
use anyhow::Result;

/// One broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the root of the checkout.
    pub(crate) path: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line.max(1), self.message)
    }
}

/// The name of a rule and the function that looks for what breaks it.
type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("layers", layers::check),
    ("dependencies", dependencies::check),
    ("paths", paths::check),
    ("flows", flows::check),
    ("scenarios", scenarios::check),
    ("length", length::check),
    ("header", header::check),
    ("dead", dead::check),
    ("mod_rs", mod_rs::check),
    ("allow", allow::check),
    ("unfinished", unfinished::check),
    ("unwrap", unwrap::check),
    ("wildcard", wildcard::check),
];

/// Runs every check, prints the findings and the summary line.
pub(crate) fn run() -> Result<bool> {
    Ok(tally()?.conclude())
}

/// Runs every check and prints the findings; one passed or failed per check.
pub(crate) fn tally() -> Result<Tally> {
    let tree = Tree::read(&crate::workspace::root())?;
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let findings = check(&tree);
        tally.check(findings.is_empty());
        if findings.is_empty() {
            println!("ok    {name}");
        } else {
            println!("FAIL  {name}: {}", findings.len());
            for finding in &findings {
                println!("      {finding}");
            }
        }
    }
    Ok(tally)
}
