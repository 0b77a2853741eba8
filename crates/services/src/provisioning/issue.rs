//! Certificates made of what devices ask for when they register, for their hubs.
//!
//! ```text
//!   register with csr ──▶ kept in the operation ──▶ assign: made with the service's authority ──▶ the device's hub knows it by
//!                                                     (one commit with device and record)          the new one and the last
//! ```
//!
//! Azure article "Device certificate issuance" (api-version 2025-07-01-preview: `csr`, `issuedCertificateChain`); the names
//! of the preview before it (`clientCertificateCsr`, `issuedClientCertificate`) are those of the SDKs for C and .NET.

use std::time::Duration;

use pollux_model::device::Authentication;
use pollux_model::enrollment::Der;
use pollux_model::registration::{IssuedCertificate, Registration};
use pollux_model::resource::{CertificateIssuer, Resource};
use pollux_model::{Error, RegistrationId, Result};
use pollux_x509::{Certificate, Issuer, SigningRequest};

use super::Provisioning;
use super::operate::Outcome;

/// Clocks of devices may be behind.
const BEFORE: Duration = Duration::from_secs(300);
/// How many of the last ones a hub knows a device by: the one it gets, and the one it may be connected with.
const KNOWN: usize = 2;
/// Bytes of a serial number (RFC 5280, section 4.1.2.2: at most 20).
const SERIAL: usize = 16;
const DAY: u64 = 86_400;

impl Provisioning {
    /// [`Error::invalid`] unless a certificate can be made of this for the device.
    pub(super) fn check_signing_request(dps: &Resource, id: &RegistrationId, der: &[u8]) -> Result<()> {
        if Self::dps(dps)?.issuer.is_none() {
            let message = "csr: this provisioning service issues no certificates: its operator can let it (pollux dps issuer set)";
            return Err(Error::invalid(message));
        }
        let request =
            SigningRequest::from_der(der).map_err(|error| Error::invalid(format!("csr: {error}")))?;
        match request.common_name() {
            Some(name) if !name.eq_ignore_ascii_case(id) => {
                Err(Error::invalid("csr: the common name of its subject must be the registration id"))
            }
            _ => Ok(()),
        }
    }

    /// The certificates that the device's hub is to know it by, the newest first: one more where it asked for one. Those that
    /// have ended are forgotten.
    pub(super) async fn issued(
        &self,
        dps: &Resource,
        record: &Registration,
    ) -> Result<Vec<IssuedCertificate>, Outcome> {
        let now = self.context.clock.now();
        let mut known: Vec<_> = record.issued.iter().filter(|one| one.not_after > now).cloned().collect();
        let Some(request) = &record.operation.signing_request else { return Ok(known) };
        let Some(issuer) = &Self::dps(dps).map_err(Outcome::of)?.issuer else {
            return Err(Outcome::failed(
                400_004,
                "csr: this provisioning service issues no certificates any more",
            ));
        };
        let mut serial = [0; SERIAL];
        self.context.random.fill(&mut serial);
        // Positive, and without a leading zero.
        serial[0] = serial[0] & 0x7F | 0x40;
        let (issuer, Der(request), name) = (issuer.clone(), request.clone(), record.displayed_id.clone());
        let holds = (now.minus(BEFORE), now.plus(Duration::from_secs(u64::from(issuer.days) * DAY)));
        let make = move || made(&issuer, &request, &name, &serial, holds);
        // To sign with RSA takes milliseconds.
        let made = tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| Err(error.to_string()));
        let made =
            made.map_err(|why| Outcome::failed(400_004, format!("csr: no certificate was made: {why}")))?;
        // Only the newest is handed out again.
        known.iter_mut().for_each(|one| one.chain.clear());
        known.insert(0, made);
        known.truncate(KNOWN);
        Ok(known)
    }
}

fn made(
    issuer: &CertificateIssuer,
    request: &[u8],
    name: &str,
    serial: &[u8],
    holds: (pollux_model::Timestamp, pollux_model::Timestamp),
) -> Result<IssuedCertificate, String> {
    let own = issuer.chain.first().ok_or("its issuer has no certificate")?;
    let authority = Issuer::new(&own.0, issuer.key.reveal()).map_err(|error| error.to_string())?;
    let request = SigningRequest::from_der(request).map_err(|error| error.to_string())?;
    let der = authority.issue(&request, name, serial, holds).map_err(|error| error.to_string())?;
    let read = Certificate::from_der(&der).map_err(|error| error.to_string())?;
    Ok(IssuedCertificate {
        issuer: read.issuer().to_owned(),
        serial_number: read.serial_number().to_owned(),
        thumbprint: read.sha256_thumbprint(),
        not_after: read.not_after(),
        chain: std::iter::once(Der(der)).chain(issuer.chain.iter().cloned()).collect(),
    })
}

/// How the device proves itself in its hub: with what was issued to it, else as its enrollment says.
pub(super) fn credential(enrollment: &Authentication, issued: &[IssuedCertificate]) -> Authentication {
    let known = |at: usize| issued.get(at).map(|one| one.thumbprint.clone());
    match known(0) {
        Some(newest) => Authentication::SelfSigned { primary: Some(newest), secondary: known(1) },
        None => enrollment.clone(),
    }
}
