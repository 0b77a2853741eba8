//! The authority with which a provisioning service makes certificates of devices' requests, and what it made that holds no
//! more. What devices do with it is in `provisioning/issue.rs`; revoking, in `provisioning/revoke.rs`.
//!
//! Azure article "Device certificate issuance": there a registry holds the authority; here the operator brings it.

use pollux_model::enrollment::Der;
use pollux_model::resource::{
    CertificateIssuer, Dps, PrivateKey, Properties, Resource, ResourceKind, Revocation,
};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::Write;
use pollux_x509::{Chain, Issuer};

use super::{Resources, administer};
use crate::caller::Caller;

/// Days that an issued certificate holds at most.
const LONGEST: u32 = 3650;

/// An authority as the operator gives it.
#[derive(Debug)]
pub struct CertificateIssuerInput {
    /// PEM: its own certificate first, then those above it that devices are to be given along.
    pub chain: String,
    /// Its key, in DER.
    pub key: PrivateKey,
    /// For how many days what it issues holds.
    pub days: u32,
}

impl Resources {
    /// The authority of a provisioning service. [`ErrorCode::ResourceNotFound`] where it has none.
    pub fn certificate_issuer(&self, caller: &Caller, dps: &ResourceName) -> Result<CertificateIssuer> {
        let found = self.get(caller, ResourceKind::Dps, dps)?;
        match &found.properties {
            Properties::Dps(Dps { issuer: Some(issuer), .. }) => Ok(issuer.clone()),
            _ => Err(none(dps)),
        }
    }

    /// Sets the authority; what another one issued before holds as long as it would have.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] where it is none, or the key is another's.
    pub async fn put_certificate_issuer(
        &self,
        caller: &Caller,
        dps: &ResourceName,
        input: CertificateIssuerInput,
    ) -> Result<CertificateIssuer> {
        administer(caller)?;
        if !(1..=LONGEST).contains(&input.days) {
            return Err(Error::invalid(format!("days must be 1 to {LONGEST}, not {}", input.days)));
        }
        let wrong = |error: &dyn std::fmt::Display| Error::invalid(format!("the certificate: {error}"));
        let chain = Chain::from_text(&input.chain).map_err(|error| wrong(&error))?;
        let now = self.context.clock.now();
        chain.leaf().holds(now).map_err(|error| wrong(&error))?;
        Issuer::new(chain.leaf().der(), input.key.reveal()).map_err(|error| wrong(&error))?;
        let made = CertificateIssuer {
            chain: chain.certificates().map(|der| Der(der.to_vec())).collect(),
            key: input.key,
            days: input.days,
            updated: now,
        };
        self.change_dps(dps, Vec::new(), |dps| {
            dps.issuer = Some(made.clone());
            Ok(())
        })
        .await?;
        Ok(made)
    }

    /// Takes the authority away: requests are refused from then on; what was issued holds.
    pub async fn delete_certificate_issuer(&self, caller: &Caller, dps: &ResourceName) -> Result<()> {
        administer(caller)?;
        self.change_dps(dps, Vec::new(), |properties| {
            properties.issuer.take().map(drop).ok_or_else(|| none(dps))
        })
        .await
    }

    /// Notes certificates that hold no more, together with what else must change with them. Those that would have ended
    /// meanwhile are forgotten.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`]; [`ErrorCode::PreconditionFailed`] where something else changed meanwhile.
    pub(crate) async fn note_revocations(
        &self,
        dps: &ResourceName,
        revoked: &[Revocation],
        also: Vec<Write>,
    ) -> Result<()> {
        let (now, most) = (self.context.clock.now(), self.context.limits.revocations);
        self.change_dps(dps, also, |properties| {
            let known = &mut properties.revocations;
            known.retain(|one| one.until > now);
            for one in revoked {
                if !known
                    .iter()
                    .any(|known| known.serial_number == one.serial_number && known.issuer == one.issuer)
                {
                    known.push(one.clone());
                }
            }
            if known.len() <= most {
                return Ok(());
            }
            let message = format!(
                "'{dps}' knows {most} revoked certificates, which is the limit, until some of them end: set another issuer"
            );
            Err(Error::new(ErrorCode::QuotaExceeded, message))
        })
        .await
    }

    async fn change_dps(
        &self,
        dps: &ResourceName,
        also: Vec<Write>,
        change: impl FnOnce(&mut Dps) -> Result<()>,
    ) -> Result<()> {
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Dps, dps)?;
        let mut resource = Resource::clone(&present);
        let Properties::Dps(properties) = &mut resource.properties else { return Err(Error::internal()) };
        change(properties)?;
        self.replace_and(&present, resource, also).await?;
        Ok(())
    }
}

fn none(dps: &ResourceName) -> Error {
    Error::new(ErrorCode::ResourceNotFound, format!("'{dps}' has no certificate issuer"))
}

#[cfg(test)]
mod tests;
