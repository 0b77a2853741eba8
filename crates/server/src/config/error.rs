//! A bad setting, in words an operator can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Such as `listen.https`; empty where the line has none.
        key: String,
    },
    /// In a variable of the environment.
    Variable(String),
    /// Nowhere: a default, or the file as a whole.
    Whole(String),
}

/// A bad setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was made.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// What would be accepted.
    pub accepted: Option<String>,
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, source: &io::Error) -> Self {
        let place = Place::Whole(path.display().to_string());
        Self { place, problem: format!("the file cannot be read: {source}"), accepted: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line, key } if key.is_empty() => write!(f, "{}:{line}: ", path.display())?,
            Place::File { path, line, key } => write!(f, "{}:{line}: {key}: ", path.display())?,
            Place::Variable(name) => write!(f, "environment variable {name}: ")?,
            Place::Whole(what) => write!(f, "{what}: ")?,
        }
        f.write_str(&self.problem)?;
        match &self.accepted {
            Some(accepted) => write!(f, "; accepted: {accepted}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
