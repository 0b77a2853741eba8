//! Issued certificates that are to hold no more.

use pollux_model::registration::{IssuedCertificate, Registration};
use pollux_model::resource::{PolicyRight, Resource, ResourceKind, Revocation};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, RegistrationId, Result};
use pollux_store::{Expect, Write};
use pollux_x509::Issuer;

use super::Provisioning;
use super::audit::AuditAction;
use crate::caller::{Caller, Right};
use crate::hub::DeviceCommand;

/// Seconds after which whoever has a revocation list should ask for the next one.
const NEXT: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
/// Characters of a serial number: 20 bytes.
const SERIAL: usize = 40;

impl Provisioning {
    /// Revokes what was issued to a device, or only the certificate of one serial number: its hub knows it no longer, and
    /// closes its connection; no enrollment group lets it in with that; it is in the revocation list. All of it is one commit.
    ///
    /// # Errors
    /// [`ErrorCode::RegistrationNotFound`] where nothing is known that was issued to it.
    pub async fn revoke_certificates(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &str,
        serial_number: Option<&str>,
    ) -> Result<Vec<Revocation>> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::RegistrationStatusWrite))?;
        let id = RegistrationId::parse(id)?;
        let serial = serial_number.map(serial_of).transpose()?;
        loop {
            let record = self.context.store.registration(&dps.name, &id).await?;
            let revoked = self.revoked(dps, &id, record.as_ref(), serial.as_deref())?;
            let (mut writes, mut cut) = (Vec::new(), None);
            if let Some(record) = record {
                let (gone, left): (Vec<_>, Vec<_>) = record.issued.iter().cloned().partition(|one| {
                    revoked.iter().any(|revoked| revoked.serial_number == one.serial_number)
                });
                if let Some((hub, device)) = self.place(&record) {
                    writes.extend(self.hub.without_certificates(&hub, &device, &gone).await?);
                    cut = Some((hub, device)).filter(|_| !writes.is_empty());
                }
                let expect = Expect::Etag(record.etag.clone());
                let changed = Registration {
                    issued: left,
                    updated: self.context.clock.now(),
                    etag: Etag::fresh(&*self.context.random),
                    ..record
                };
                writes.push(Write::PutRegistration {
                    dps: dps.name.clone(),
                    registration: Box::new(changed),
                    expect,
                });
            }
            let serials: Vec<_> = revoked.iter().map(|one| one.serial_number.as_str()).collect();
            let note = self.audited(caller, AuditAction::CertificateRevoked).of_registration(&id);
            writes.push(self.audit(dps, &note.because(serials.join(", "))));
            match self.resources.note_revocations(&dps.name, &revoked, writes).await {
                Ok(()) => {
                    if let Some((hub, device)) = cut {
                        let close = DeviceCommand::Close { reason: "its certificate was revoked".into() };
                        self.hub.connections.deliver(&hub.name, &device.into(), close).await;
                    }
                    return Ok(revoked);
                }
                // The device, its record or the service changed meanwhile.
                Err(error) if error.code == ErrorCode::PreconditionFailed => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What is revoked, and the list of it for those who check certificates themselves: PEM, where there is an issuer.
    pub fn revocations(&self, caller: &Caller, dps: &Resource) -> Result<(Vec<Revocation>, Option<String>)> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentRead))?;
        let (properties, now) = (Self::dps(dps)?, self.context.clock.now());
        let all: Vec<_> = properties.revocations.iter().filter(|one| one.until > now).cloned().collect();
        let Some(issuer) = &properties.issuer else { return Ok((all, None)) };
        let own = issuer.chain.first().ok_or_else(Error::internal)?;
        let wrong =
            |error: pollux_x509::IssueError| Error::invalid(format!("no revocation list is made: {error}"));
        let authority = Issuer::new(&own.0, issuer.key.reveal()).map_err(wrong)?;
        let subject = authority.certificate().subject();
        let listed = all.iter().filter(|one| one.issuer == subject);
        let listed = listed.map(|one| (one.serial_number.as_str(), one.revoked));
        let number = u64::try_from(now.as_secs()).unwrap_or_default();
        let list = authority.revocation_list(listed, number, (now, now.plus(NEXT))).map_err(wrong)?;
        Ok((all, Some(list)))
    }

    fn revoked(
        &self,
        dps: &Resource,
        id: &RegistrationId,
        record: Option<&Registration>,
        serial: Option<&str>,
    ) -> Result<Vec<Revocation>> {
        let now = self.context.clock.now();
        let of = |one: &IssuedCertificate| Revocation {
            issuer: one.issuer.clone(),
            serial_number: one.serial_number.clone(),
            registration_id: id.to_string(),
            revoked: now,
            until: one.not_after,
        };
        let known = record.map(|record| record.issued.as_slice()).unwrap_or_default();
        let wanted = known.iter().filter(|one| serial.is_none_or(|serial| one.serial_number == serial));
        let found: Vec<_> = wanted.map(of).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // One that was replaced twice since, or whose record is gone: no hub knows it by us, but a group may.
        if let (Some(serial), Some(issuer)) = (serial, &Self::dps(dps)?.issuer) {
            let own = issuer.chain.first().ok_or_else(Error::internal)?;
            let own = pollux_x509::Certificate::from_der(&own.0).map_err(|_| Error::internal())?;
            return Ok(vec![Revocation {
                issuer: own.subject().to_owned(),
                serial_number: serial.to_owned(),
                registration_id: id.to_string(),
                revoked: now,
                until: own.not_after(),
            }]);
        }
        Err(Error::new(
            ErrorCode::RegistrationNotFound,
            format!("no certificate is known that was issued to '{id}'"),
        ))
    }

    fn place(&self, record: &Registration) -> Option<(std::sync::Arc<Resource>, DeviceId)> {
        let hub = self.context.table.serving(ResourceKind::Hub, record.assigned_hub.as_deref()?)?;
        Some((hub, DeviceId::parse(record.device_id.as_deref()?).ok()?))
    }
}

/// As certificates are shown: hexadecimal digits, with or without colons.
fn serial_of(text: &str) -> Result<String> {
    let digits: String = text.chars().filter(|digit| *digit != ':').collect();
    let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits.len().is_multiple_of(2);
    if valid && (1..=SERIAL).contains(&digits.len()) {
        return Ok(digits.to_ascii_uppercase());
    }
    Err(Error::invalid("serialNumber must be an even number of at most 40 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::serial_of;

    #[test]
    fn a_serial_number_is_read_as_tools_write_it() {
        assert_eq!(serial_of("5a:0B:ff").unwrap(), "5A0BFF");
        for wrong in ["", "5", "5g", "5a b", &"00".repeat(21)] {
            assert!(serial_of(wrong).is_err(), "{wrong}");
        }
    }
}
