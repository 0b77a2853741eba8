//! What comes in from outside follows deny.toml: licences that are allowed, no banned crate, crates.io only. The same file serves
//! cargo-deny; this check needs no tool beyond cargo and runs everywhere. It asks `cargo metadata`, so it is the one check that runs a program.

use super::{Finding, Tree};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;

const RULES: &str = "deny.toml";

#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Sources {
    #[serde(rename = "allow-registry")]
    registries: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// One package as `cargo metadata` tells of it; `source` is absent for our own.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(rules) = tree.file(RULES) else { return Vec::new() }; // `paths` reports the missing file
    match toml::from_str::<Rules>(&rules.text).context(RULES).and_then(|rules| Ok((rules, metadata()?))) {
        Ok((rules, metadata)) => judge(&rules, &metadata),
        Err(error) => vec![Finding::new(RULES, 0, format!("cannot check the dependencies: {error:#}"))],
    }
}

fn metadata() -> Result<Metadata> {
    let arguments =
        ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let (good, stdout, stderr) = crate::run::Cmd::new("cargo").args(arguments).output()?;
    if !good {
        bail!("`cargo {}` failed: {stderr}", arguments.join(" "));
    }
    Ok(serde_json::from_str(&stdout)?)
}

fn judge(rules: &Rules, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let name = format!("{} {}", package.name, package.version);
        let license = package.license.as_deref().unwrap_or("none named");
        if !Expression::new(license).allowed(&rules.licenses.allow) {
            findings.push(Finding::new(
                RULES,
                0,
                format!("{name}: licence `{license}` is not among the allowed ones"),
            ));
        }
        if let Some(banned) = rules.bans.deny.iter().find(|banned| banned.name == package.name) {
            findings.push(Finding::new(RULES, 0, format!("{name} is banned: {}", banned.reason)));
        }
        let source = package.source.as_deref().unwrap_or_default();
        if !rules.sources.registries.iter().any(|registry| source == format!("registry+{registry}")) {
            findings.push(Finding::new(RULES, 0, format!("{name} comes from {source}: crates.io only")));
        }
    }
    findings
}

/// An SPDX licence expression: names joined by AND, OR (also written `/`) and WITH, with parentheses.
struct Expression {
    words: Vec<String>,
    at: usize,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        Self { words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0 }
    }

    /// True when the names in `allow` satisfy the whole expression. Text that is no expression satisfies nothing.
    fn allowed(mut self, allow: &BTreeSet<String>) -> bool {
        let satisfied = self.any(allow);
        satisfied && self.at == self.words.len()
    }

    fn any(&mut self, allow: &BTreeSet<String>) -> bool {
        let mut satisfied = self.all(allow);
        while self.take("OR") {
            satisfied |= self.all(allow);
        }
        satisfied
    }

    fn all(&mut self, allow: &BTreeSet<String>) -> bool {
        let mut satisfied = self.name(allow);
        while self.take("AND") {
            satisfied &= self.name(allow);
        }
        satisfied
    }

    fn name(&mut self, allow: &BTreeSet<String>) -> bool {
        if self.take("(") {
            let satisfied = self.any(allow);
            return self.take(")") && satisfied;
        }
        let Some(mut name) = self.words.get(self.at).cloned() else { return false };
        self.at += 1;
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.words.get(self.at).map_or("", String::as_str));
            self.at += 1;
        }
        allow.contains(&name)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, Metadata, Rules, judge};

    fn allowed(text: &str) -> bool {
        let allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        Expression::new(text).allowed(&allow)
    }

    #[test]
    fn reads_licence_expressions() {
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "(GPL-3.0 OR MIT) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "(MIT", "MIT MIT", "none named", ""]
        {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn judges_licence_ban_and_source() {
        let rules = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"b\", reason = \"no\" }]\n[sources]\nallow-registry = [\"r\"]\n";
        let rules: Rules = toml::from_str(rules).expect("valid rules");
        let metadata = r#"{"packages":[
            {"name":"ours","version":"1","license":null,"source":null},
            {"name":"a","version":"1","license":"MIT","source":"registry+r"},
            {"name":"b","version":"1","license":"GPL-3.0","source":"git+x"}]}"#;
        let metadata: Metadata = serde_json::from_str(metadata).expect("valid metadata");
        let findings = judge(&rules, &metadata);
        assert_eq!(findings.len(), 3);
        assert!(findings.iter().all(|finding| finding.message.starts_with("b 1")));
    }
}
