//! Why a place cannot be read or written.

use std::fmt;

/// Why a place cannot be read or written. The text is for people, and has no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobError {
    /// Trying again may help.
    Away(String),
    /// There is no such blob, or container.
    Missing(String),
    /// What is there is in its way.
    Conflict(String),
    /// It will not be.
    No(String),
}

impl BlobError {
    /// For people.
    #[must_use]
    pub fn message(self) -> String {
        let (Self::Away(message) | Self::Missing(message) | Self::Conflict(message) | Self::No(message)) =
            self;
        message
    }

    /// Of the file system.
    pub(super) fn io(verb: &str, error: &std::io::Error) -> Self {
        let text = format!("the file cannot be {verb}: {error}");
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing(text),
            std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory => {
                Self::Conflict("a blob's name is the beginning of another one's, up to a slash".to_owned())
            }
            _ => Self::No(text),
        }
    }
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Away(message) | Self::Missing(message) | Self::Conflict(message) | Self::No(message)) =
            self;
        f.write_str(message)
    }
}
