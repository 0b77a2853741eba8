//! From a byte of a TOML file to its line and key, and back.

use std::path::{Path, PathBuf};

use super::check::accepted;
use super::error::{ConfigError, Place};

/// A file's text, for messages.
pub(super) struct Source<'t> {
    path: PathBuf,
    text: &'t str,
}

impl<'t> Source<'t> {
    pub(super) fn new(path: Option<&Path>, text: &'t str) -> Self {
        Self { path: path.unwrap_or_else(|| Path::new("configuration")).to_owned(), text }
    }

    /// What the TOML reader found wrong.
    pub(super) fn error(&self, error: &toml::de::Error) -> ConfigError {
        let problem = error.message().to_owned();
        let Some(span) = error.span() else {
            return ConfigError {
                place: Place::Whole(self.path.display().to_string()),
                problem,
                accepted: None,
            };
        };
        let line = self.line_at(span.start);
        let key = self.key_on(line);
        let accepted = accepted_beside(&key, &problem);
        ConfigError { place: Place::File { path: self.path.clone(), line, key }, problem, accepted }
    }

    /// Where a key such as `listen.https` is set, if the file sets it.
    pub(super) fn find(&self, key: &str) -> Option<Place> {
        let line = (1..=self.text.lines().count()).find(|line| self.key_on(*line) == key)?;
        Some(Place::File { path: self.path.clone(), line, key: key.to_owned() })
    }

    /// The file as a whole.
    pub(super) fn whole(&self) -> Place {
        Place::Whole(self.path.display().to_string())
    }

    fn line_at(&self, byte: usize) -> usize {
        self.text.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count() + 1
    }

    /// The section above a line and the key on it: `listen.https`.
    fn key_on(&self, line: usize) -> String {
        let lines: Vec<&str> = self.text.lines().take(line).collect();
        let Some(own) = lines.last().map(|line| line.trim()) else { return String::new() };
        let header = |line: &&&str| line.trim_start().starts_with('[');
        let section = lines.iter().rev().find(header).map_or("", |line| section_name(line));
        if own.starts_with('[') {
            return section.to_owned();
        }
        // A value of several lines: the key is where it began.
        let keyed = lines.iter().rev().take_while(|line| !line.trim_start().starts_with('['));
        let key = keyed.filter_map(|line| key_of(line)).next().unwrap_or_default();
        if section.is_empty() || key.is_empty() {
            format!("{section}{key}")
        } else {
            format!("{section}.{key}")
        }
    }
}

/// The table of what is accepted, unless the problem says it already.
pub(super) fn accepted_beside(key: &str, problem: &str) -> Option<String> {
    if problem.contains("expected one of") || problem.contains("unknown field") {
        return None;
    }
    accepted(key).map(str::to_owned)
}

fn section_name(line: &str) -> &str {
    let inner = line.split('#').next().unwrap_or_default();
    inner.trim().trim_matches(['[', ']']).trim()
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    (!key.is_empty() && key.bytes().all(good)).then_some(key)
}
