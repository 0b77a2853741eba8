//! The development CA and the server's certificate; or those the operator gives.
//!
//! The CA is the deployment's: with SQLite it is in the data folder, with PostgreSQL in the store ([`shared`]); each
//! node makes a certificate of its own from it.
//!
//! ```text
//!   <data folder>/ca.pem      for clients to trust             ca.key      with SQLite; stays here, mode 0600
//!                 server.pem  leaf, then CA                    server.key  mode 0600
//!                 server.json which names it bears, until when
//! ```

mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux_model::{Random, Timestamp};
use pollux_store::store::DynStore;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::config::Tls;
use crate::data_dir::DataDir;
use crate::error::ServeError;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The CA lives this long: devices carry it.
const CA_DAYS: u32 = 3650;
/// A server certificate lives this long.
const SERVER_DAYS: u32 = 365;
/// And is made anew this long before its end.
const RENEW_DAYS: u32 = 30;

/// A chain (leaf first) and its key.
pub(crate) type ServerIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Where server certificates come from.
pub(crate) enum Certificates {
    /// Our own CA makes them.
    Own { ca_pem: String, issuer: Issuer<'static, KeyPair> },
    /// The operator gives one.
    Given { certificate: PathBuf, key: PathBuf, ca: Option<PathBuf> },
}

/// A development CA as PEM text. Not `Debug`: it holds its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ca {
    certificate: String,
    key: String,
}

/// What `server.json` says of `server.pem`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    names: Vec<String>,
    until: Timestamp,
}

impl Certificates {
    /// Finds the CA in the data folder or makes it.
    pub(crate) fn open(
        data: &DataDir,
        tls: &Tls,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Self, ServeError> {
        if let Some(given) = Self::given(tls) {
            return Ok(given);
        }
        let ca = match (data.read("ca.pem")?, data.read("ca.key")?) {
            (Some(certificate), Some(key)) => Ca { certificate, key },
            (Some(_), None) => return Err(half(data, "ca.pem", "ca.key")),
            // The key is written first, so that a crash in between leaves no certificate anyone could have trusted.
            (None, _) => {
                let ca = make_ca(random, now)?;
                data.write("ca.key", &ca.key)?;
                data.write("ca.pem", &ca.certificate)?;
                ca
            }
        };
        Self::own(ca)
    }

    /// Finds the CA in the store or puts it there.
    pub(crate) async fn open_shared(
        data: &DataDir,
        tls: &Tls,
        store: &DynStore,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Self, ServeError> {
        match Self::given(tls) {
            Some(given) => Ok(given),
            None => Self::own(shared::ca(data, store, random, now).await?),
        }
    }

    fn given(tls: &Tls) -> Option<Self> {
        let (certificate, key) = (tls.certificate.clone()?, tls.key.clone()?);
        Some(Self::Given { certificate, key, ca: tls.ca.clone() })
    }

    fn own(ca: Ca) -> Result<Self, ServeError> {
        let key = KeyPair::from_pem(&ca.key).map_err(|error| broken("ca.key", &error))?;
        let issuer =
            Issuer::from_ca_cert_pem(&ca.certificate, key).map_err(|error| broken("ca.pem", &error))?;
        Ok(Self::Own { ca_pem: ca.certificate, issuer })
    }

    /// The file with the CA that clients are to trust.
    pub(crate) fn ca_file(&self, data: &DataDir) -> PathBuf {
        match self {
            Self::Own { .. } => data.file("ca.pem"),
            Self::Given { certificate, ca, .. } => {
                let file = ca.as_ref().unwrap_or(certificate);
                file.canonicalize().unwrap_or_else(|_| file.clone())
            }
        }
    }

    /// CAs that our own outgoing calls trust beside the system's.
    pub(crate) fn trusted(&self, tls: &Tls) -> Result<Vec<CertificateDer<'static>>, ServeError> {
        let mut trusted = Vec::new();
        match self {
            Self::Own { ca_pem, .. } => {
                let own = CertificateDer::from_pem_slice(ca_pem.as_bytes());
                trusted.push(own.map_err(|error| broken("ca.pem", &error))?);
            }
            Self::Given { ca: Some(ca), .. } => trusted.extend(read_chain(ca)?),
            Self::Given { ca: None, .. } => {}
        }
        for file in &tls.trust {
            trusted.extend(read_chain(file)?);
        }
        Ok(trusted)
    }

    /// A certificate that bears these names and is not about to run out; the stored one where it will do.
    pub(crate) fn server(
        &self,
        data: &DataDir,
        names: &[String],
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<ServerIdentity, ServeError> {
        match self {
            Self::Given { certificate, key, .. } => Ok((read_chain(certificate)?, read_key(key)?)),
            Self::Own { ca_pem, issuer } => {
                if !stored_will_do(data, ca_pem, names, now)? {
                    make_server(data, ca_pem, issuer, names, random, now)?;
                }
                // Not the authority itself: whoever trusts it has it.
                let mut chain = read_chain(&data.file("server.pem"))?;
                chain.truncate(1);
                Ok((chain, read_key(&data.file("server.key"))?))
            }
        }
    }
}

fn make_ca(random: &dyn Random, now: Timestamp) -> Result<Ca, ServeError> {
    let failed =
        |error: rcgen::Error| ServeError::Certificate(format!("no development CA can be made: {error}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    // A name of its own, so that two deployments' CAs can be told apart in a trust store.
    let number = random.below(1 << 32);
    params.distinguished_name.push(DnType::CommonName, format!("Pollux development CA {number:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, now, CA_DAYS);
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    Ok(Ca { certificate, key: key.serialize_pem() })
}

fn stored_will_do(
    data: &DataDir,
    ca_pem: &str,
    names: &[String],
    now: Timestamp,
) -> Result<bool, ServeError> {
    let made = data.read("server.json")?.and_then(|text| serde_json::from_str::<Made>(&text).ok());
    // The chain ends with the CA it was made from.
    let from_this_ca = data.read("server.pem")?.is_some_and(|chain| chain.ends_with(ca_pem));
    let files = from_this_ca && data.file("server.key").exists();
    Ok(made.is_some_and(|made| files && made.names == names && now.plus(DAY * RENEW_DAYS) < made.until))
}

fn make_server(
    data: &DataDir,
    ca_pem: &str,
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    random: &dyn Random,
    now: Timestamp,
) -> Result<(), ServeError> {
    let failed =
        |error: rcgen::Error| ServeError::Certificate(format!("no server certificate can be made: {error}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "Pollux");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let mut serial = [0; 16];
    random.fill(&mut serial);
    // Positive and without leading zeros (RFC 5280, section 4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
    let until = validity(&mut params, now, SERVER_DAYS);
    let leaf = params.signed_by(&key, issuer).map_err(failed)?;
    // The note goes first and comes last: a crash on the way leaves none, and all is made again.
    data.remove("server.json")?;
    data.write("server.key", &key.serialize_pem())?;
    data.write("server.pem", &format!("{}{ca_pem}", leaf.pem()))?;
    let made = serde_json::to_string_pretty(&Made { names: names.to_vec(), until });
    data.write("server.json", &made.map_err(|error| ServeError::Certificate(error.to_string()))?)
}

/// From an hour ago, for clocks that are behind, for so many days.
fn validity(params: &mut CertificateParams, now: Timestamp, days: u32) -> Timestamp {
    let moment = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let until = now.plus(DAY * days);
    params.not_before = moment(now.minus(Duration::from_secs(3600)));
    params.not_after = moment(until);
    until
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let broken = |error: rustls_pki_types::pem::Error| broken(&file.display().to_string(), &error);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(broken)?.collect();
    match chain.map_err(broken)? {
        chain if chain.is_empty() => {
            Err(ServeError::Certificate(format!("{} holds no certificate", file.display())))
        }
        chain => Ok(chain),
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| broken(&file.display().to_string(), &error))
}

fn half(data: &DataDir, there: &str, gone: &str) -> ServeError {
    let folder = data.path().display();
    ServeError::Certificate(format!(
        "{folder} holds {there} without {gone}: put it back, or remove both to begin anew"
    ))
}

fn broken(file: &str, error: &dyn std::fmt::Display) -> ServeError {
    ServeError::Certificate(format!("{file} cannot be used: {error}"))
}

#[cfg(test)]
mod tests;
