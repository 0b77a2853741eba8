//! A scenario: one script below conformance/node or conformance/python. The comment at its head says what the runner must know:
//!
//! ```text
//! # about: the story with PyPI's clients          (required; one line)
//! # server: default | none | config/named.toml    (what runs beside it; `none`: the script starts the binary itself)
//! # sources: python/livetest/sources.txt          (source distributions that are fetched and unpacked for it, by hash)
//! # timeout: 60                                   (seconds for the whole script)
//! ```

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;

/// Seconds a script may run when its head names no `timeout`.
const TIMEOUT: u64 = 120;

/// The client's language, which is the folder of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Node,
    Python,
}

/// What runs beside the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// `pollux serve` with defaults.
    Default,
    /// `pollux serve --config conformance/<path>`.
    Config(String),
    /// Nothing: the script starts the binary (`$SUBJECT_BIN`) itself.
    None,
}

/// One script and what its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// `node/story.js` → `node-story`.
    pub(crate) name: String,
    /// Path of the script from the root of the checkout.
    pub(crate) path: String,
    pub(crate) language: Language,
    pub(crate) about: String,
    pub(crate) server: Server,
    /// A list of source distributions, from conformance/.
    pub(crate) sources: Option<String>,
    /// Seconds.
    pub(crate) timeout: u64,
}

impl Scenario {
    /// True for a script directly in one of the two folders (helpers live one level deeper, in `lib/`).
    pub(crate) fn is_script(path: &str) -> bool {
        let Some((folder, name)) = path.rsplit_once('/') else { return false };
        match folder {
            "conformance/node" => name.ends_with(".js"),
            "conformance/python" => name.ends_with(".py"),
            _ => false,
        }
    }

    pub(crate) fn parse(path: &str, text: &str) -> Result<Self> {
        let (folder, file) = path.rsplit_once('/').context("a script lies in a folder")?;
        let (language, short) = match folder {
            "conformance/node" => (Language::Node, "node"),
            _ => (Language::Python, "python"),
        };
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let mut scenario = Self {
            name: format!("{short}-{}", stem.replace('_', "-")),
            path: path.to_owned(),
            language,
            about: String::new(),
            server: Server::Default,
            sources: None,
            timeout: TIMEOUT,
        };
        for line in text.lines().take_while(|line| line.starts_with('#') || line.starts_with("//")) {
            let Some((key, value)) = line.trim_start_matches(['#', '/', ' ']).split_once(':') else {
                continue;
            };
            scenario.set(key.trim(), value.trim())?;
        }
        if scenario.about.is_empty() {
            bail!("open the script with a comment `about: what it shows` (see conformance/README.md)");
        }
        Ok(scenario)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "about" => value.clone_into(&mut self.about),
            "server" => {
                self.server = match value {
                    "default" => Server::Default,
                    "none" => Server::None,
                    path if path.ends_with(".toml") => Server::Config(path.to_owned()),
                    other => bail!("`server: {other}`: default, none, or a .toml below conformance/"),
                }
            }
            "sources" if value.ends_with(".txt") => self.sources = Some(value.to_owned()),
            "sources" => bail!("`sources: {value}`: a list below conformance/, its name ends with .txt"),
            "timeout" => {
                self.timeout = value.parse().with_context(|| format!("`timeout: {value}`: whole seconds"))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Every scenario of the checkout, by name.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for folder in ["conformance/node", "conformance/python"] {
            let entries =
                std::fs::read_dir(root.join(folder)).with_context(|| format!("cannot list {folder}"))?;
            for entry in entries {
                let path = format!("{folder}/{}", entry?.file_name().to_string_lossy());
                if Self::is_script(&path) {
                    let text = std::fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
                    all.push(Self::parse(&path, &text).with_context(|| path.clone())?);
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

/// conformance/known.toml: cases that are known to fail, each with its reason. They run all the same: one that passes fails the run,
/// so that the entry goes away with its cause.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    #[serde(default, rename = "case")]
    pub(crate) cases: Vec<KnownCase>,
}

/// One case that is known to fail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownCase {
    pub(crate) scenario: String,
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Known {
    pub(crate) const PATH: &'static str = "conformance/known.toml";

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let known: Self = toml::from_str(text)?;
        if let Some(case) = known.cases.iter().find(|case| case.reason.trim().is_empty()) {
            bail!("{} / {}: a known failure needs its reason", case.scenario, case.name);
        }
        Ok(known)
    }

    /// The entries of one scenario.
    pub(crate) fn of(&self, scenario: &str) -> Vec<KnownCase> {
        self.cases.iter().filter(|case| case.scenario == scenario).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Language, Scenario, Server};

    #[test]
    fn the_head_of_a_script_tells_all() {
        let text = "# about: the story\n# server: config/named.toml\n# sources: python/a.txt\n# timeout: 30\nimport x\n# timeout: 99\n";
        let scenario = Scenario::parse("conformance/python/named_hosts.py", text).expect("a valid head");
        assert_eq!(scenario.name, "python-named-hosts");
        assert_eq!((scenario.language, scenario.timeout), (Language::Python, 30));
        assert_eq!(scenario.server, Server::Config("config/named.toml".to_owned()));
        assert_eq!(scenario.sources.as_deref(), Some("python/a.txt"));
    }

    #[test]
    fn a_bad_head_says_what_is_wrong() {
        let error =
            |text| format!("{:#}", Scenario::parse("conformance/node/a.js", text).expect_err("a bad head"));
        assert!(error("'use strict';").contains("about"));
        assert!(error("// about: a\n// server: maybe\n").contains("default, none"));
        assert!(error("// about: a\n// sources: all\n").contains("a list below conformance/"));
        assert!(error("// about: a\n// timeout: soon\n").contains("whole seconds"));
    }

    #[test]
    fn a_known_failure_needs_a_reason() {
        assert!(Known::parse("[[case]]\nscenario = \"a\"\nname = \"b\"\nreason = \" \"\n").is_err());
        assert!(Known::parse("").expect("an empty list").cases.is_empty());
    }
}
