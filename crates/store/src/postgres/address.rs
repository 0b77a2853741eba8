//! Where the database is: a URL as libpq reads it.
//!
//! | `sslmode` | connection |
//! |---|---|
//! | `disable` | not encrypted |
//! | `prefer` (when none is given) | encrypted and verified as `verify-full` if the server can; else not encrypted |
//! | `require` | encrypted, not verified; with certificates to trust as `verify-ca`, as libpq does |
//! | `verify-ca` | encrypted, the certificate is vouched for |
//! | `verify-full` | that, and it is the host's |
//!
//! Unlike libpq, `prefer` does not accept a certificate that nobody vouches for: who wants that says `require`.
//! `sslrootcert` names the file of the certificates to trust.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::open_error::OpenError;

/// How much of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    Nothing,
    Authority,
    Full,
}

/// An address, taken apart.
#[derive(Debug)]
pub(super) struct Address {
    /// For the client; knows the password and is never shown.
    pub(super) config: Config,
    pub(super) verify: Verify,
    /// From the address itself.
    pub(super) ca: Option<PathBuf>,
    /// Host, port and database.
    pub(super) place: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let bad = |reason: &str| OpenError::Address { reason: reason.to_owned() };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(bad("it does not begin with postgres://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut ca, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => ca = Some(PathBuf::from(decoded(value))),
                _ => rest.push(pair),
            }
        }
        let (ssl, verify) = match (mode, &ca) {
            (None | Some("prefer"), _) => (SslMode::Prefer, Verify::Full),
            (Some("disable"), _) => (SslMode::Disable, Verify::Full),
            (Some("require"), None) => (SslMode::Require, Verify::Nothing),
            (Some("require"), Some(_)) | (Some("verify-ca"), _) => (SslMode::Require, Verify::Authority),
            (Some("verify-full"), _) => (SslMode::Require, Verify::Full),
            (Some(_), _) => {
                return Err(bad("sslmode is one of disable, prefer, require, verify-ca and verify-full"));
            }
        };
        // The crate's message names the option that is wrong, never its value.
        let mut config = Config::from_str(&format!("{base}?{}", rest.join("&")))
            .map_err(|error| bad(&super::failure::words(&error)))?;
        config.ssl_mode(ssl);
        if config.get_hosts().is_empty() {
            return Err(bad("it names no host"));
        }
        let place = place(&config);
        Ok(Self { config, verify, ca, place })
    }

    /// Certificates named beside the address; `require` verifies them then.
    pub(super) fn trust(&mut self, ca: Option<PathBuf>) {
        if ca.is_some() {
            self.ca = ca;
            if self.verify == Verify::Nothing {
                self.verify = Verify::Authority;
            }
        }
    }
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let database = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default();
    format!("{hosts}/{database}")
}

/// Percent-decoded; what is no code stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Address, SslMode, Verify};

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn the_mode_decides_what_is_verified() {
        for (mode, ssl, verify) in [
            ("", SslMode::Prefer, Verify::Full),
            ("?sslmode=disable", SslMode::Disable, Verify::Full),
            ("?sslmode=prefer", SslMode::Prefer, Verify::Full),
            ("?sslmode=require", SslMode::Require, Verify::Nothing),
            ("?sslmode=require&sslrootcert=/x", SslMode::Require, Verify::Authority),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Authority),
            ("?connect_timeout=3&sslmode=verify-full", SslMode::Require, Verify::Full),
        ] {
            let address = parse(&format!("postgres://u:p%40ss@db.example:6543/pollux{mode}"));
            assert_eq!((address.config.get_ssl_mode(), address.verify), (ssl, verify), "{mode}");
            assert_eq!(address.place, "db.example:6543/pollux");
            assert_eq!(address.config.get_password(), Some(b"p@ss".as_slice()));
        }
        let mut address = parse("postgresql://u@a,b/x?sslmode=require");
        address.trust(Some("/ca.pem".into()));
        assert_eq!((address.verify, address.place.as_str()), (Verify::Authority, "a:5432,b:5432/x"));
        assert_eq!(parse("postgres://u@h/x?sslrootcert=%2Fa%20b.pem").ca, Some("/a b.pem".into()));
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        for text in [
            "",
            "mysql://u:hunter2@h/x",
            "host=h password=hunter2",
            "postgres://u:hunter2@h/x?sslmode=allow",
            "postgres://u:hunter2@h:port/x",
            "postgres://u:hunter2@h/x?unknown=hunter2",
            "postgres://",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
