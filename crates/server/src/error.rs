//! Why a server does not start, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is bad.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process uses the data folder.
    #[error("the data folder {} is in use by another process: stop it, or choose another with server.data_dir", .0.display())]
    InUse(PathBuf),
    /// A file or folder cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is stored cannot be opened.
    #[error("{0}")]
    Stored(String),
    /// No certificate can be made or read.
    #[error("{0}")]
    Certificate(String),
    /// A port cannot be listened on.
    #[error(
        "cannot listen on {address}; choose other ports with listen.https, listen.mqtt and listen.amqp (0: any free one)"
    )]
    Listen {
        /// Address and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A resource that the configuration declares cannot be made as it says.
    #[error("{0}")]
    Declared(String),
    /// The operating system refuses something else.
    #[error("{0}")]
    System(String),
}

impl ServeError {
    /// The exit code: 2 configuration, 3 data folder in use, 4 ports, 1 all else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Declared(_) => 2,
            Self::InUse(_) => 3,
            Self::Listen { .. } => 4,
            Self::File { .. } | Self::Stored(_) | Self::Certificate(_) | Self::System(_) => 1,
        }
    }
}
