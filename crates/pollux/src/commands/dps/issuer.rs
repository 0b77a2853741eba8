//! `pollux dps issuer`: the authority that makes certificates of devices' requests, and what it made that holds no more.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use super::Target;
use crate::connections::pick;
use crate::input;
use crate::output::Column;
use crate::resources::path;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("device", "/registrationId"),
    ("serial number", "/serialNumber"),
    ("issuer", "/issuer"),
    ("revoked", "/revokedDateTimeUtc"),
    ("would end", "/notAfterUtc"),
];

/// The authority that issues certificates to devices which ask for one (a CSR) when they register
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set it: from then on devices get certificates
    Set(Set),
    /// Show its certificate
    Show(Which),
    /// Take it away: requests are refused; what was issued holds
    Delete(Which),
    /// Revoke what was issued to a device
    Revoke(Revoke),
    /// List what is revoked
    Revocations(Which),
    /// Print the revocation list (CRL) in PEM
    Crl(Which),
}

/// Set the authority
#[derive(Debug, Args)]
#[command(after_help = "\
A device that registers with a certificate signing request (`csr`: base64 of DER) is issued a
certificate for its registration id, and its hub knows it by that. Whoever renews registers again
with a new request; the certificate before is good until then.

Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -key ca.key -out ca.pem -days 3650 -subj /CN=devices
  pollux dps issuer set --certificate-path ca.pem --key-path ca.key --days 30
  pollux dps issuer revoke --registration-id device-1
  pollux dps issuer crl > devices.crl")]
pub(crate) struct Set {
    /// Its certificate in PEM; those above it that devices are to be given along may follow
    #[arg(long, short = 'p', visible_alias = "path")]
    certificate_path: PathBuf,
    /// Its key in PEM, not encrypted
    #[arg(long)]
    key_path: PathBuf,
    /// For how many days what it issues holds
    #[arg(long, default_value_t = 90)]
    days: u32,
    #[command(flatten)]
    which: Which,
}

/// Revoke what was issued to a device
#[derive(Debug, Args)]
#[command(after_help = "\
Its hub knows the device by it no longer and closes its connection; no enrollment group lets it in
with it; it is in the revocation list. The device may register again, by whatever its enrollment
asks of it: see `pollux dps deprovision` where it should not.")]
pub(crate) struct Revoke {
    /// The device's registration id
    #[arg(long, visible_alias = "rid")]
    registration_id: String,
    /// Only the certificate of this serial number
    #[arg(long)]
    serial_number: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Which provisioning service.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Set(args) => {
            let key = std::fs::read_to_string(&args.key_path)
                .with_context(|| format!("cannot read '{}'", args.key_path.display()))?;
            let certificate = input::certificate(&args.certificate_path)?;
            let body = json!({ "certificate": certificate, "key": key, "days": args.days });
            let made = session.admin()?.put(&args.which.address(session)?).json(body).send().await;
            session.output.document(&made.context("cannot set the issuer")?.body)
        }
        Command::Show(which) => {
            let found = session.admin()?.get(&which.address(session)?).send().await;
            session.output.document(&found.context("cannot show the issuer")?.body)
        }
        Command::Delete(which) => {
            let gone = session.admin()?.delete(&which.address(session)?).send().await;
            gone.context("cannot take the issuer away")?;
            session.output.note("no certificates are issued any more")
        }
        Command::Revoke(args) => {
            let mut body = json!({ "registrationId": args.registration_id });
            if let Some(serial) = &args.serial_number {
                body["serialNumber"] = json!(serial);
            }
            let rest = session.dps(args.which.target.dps_name.as_deref())?;
            let revoked = rest.post("/revocations").json(body).send().await;
            let revoked =
                revoked.with_context(|| format!("cannot revoke what '{}' has", args.registration_id))?;
            session.output.rows(crate::resources::values(revoked), COLUMNS)
        }
        Command::Revocations(which) => {
            let found = session.dps(which.target.dps_name.as_deref())?.get("/revocations").send().await;
            let found = found.context("cannot list what is revoked")?;
            session.output.rows(crate::resources::values(found), COLUMNS)
        }
        Command::Crl(which) => {
            let found = session.dps(which.target.dps_name.as_deref())?.get("/revocations").send().await;
            let found = found.context("cannot make the revocation list")?;
            let Some(list) = found.body["revocationList"].as_str() else {
                bail!("there is no issuer, so there is no list: pollux dps issuer set")
            };
            session.output.line(list.trim_end())
        }
    }
}

impl Which {
    fn address(&self, session: &Session) -> Result<String> {
        let dps = pick("DPS", &session.connections.dps, self.target.dps_name.as_deref())?;
        Ok(format!("{}/issuer", path(ResourceKind::Dps, &dps.name)))
    }
}
