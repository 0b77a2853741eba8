//! Certificates of authorities that a provisioning service or a hub trusts, once somebody has proved to have their key.
//!
//! Azure article "How to do proof-of-possession for X.509 CA certificates": the service makes up a code, the owner of the
//! authority signs a certificate whose subject's common name is that code. Names and shapes: ARM, Microsoft.Devices
//! 2020-03-01, `CertificateResponse`.

use pollux_model::enrollment::Der;
use pollux_model::ids::shown;
use pollux_model::resource::{CaCertificate, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use pollux_x509::{Certificate, Chain};

use super::{Resources, administer};
use crate::caller::Caller;
use crate::provisioning::Expect;

/// Bytes of a verification code; twice as many hexadecimal digits.
const CODE: usize = 24;

/// Longest name of a certificate.
const NAME: usize = 64;

/// Whose certificates: a provisioning service's or a hub's.
#[derive(Debug, Clone, Copy)]
pub struct CertificateHolder<'n> {
    /// One of the two.
    pub kind: ResourceKind,
    /// Its name.
    pub name: &'n ResourceName,
}

impl Resources {
    /// The certificates, in the order they were added.
    pub fn certificates(&self, caller: &Caller, of: CertificateHolder<'_>) -> Result<Vec<CaCertificate>> {
        let mut found = Resource::clone(&*self.get(caller, of.kind, of.name)?);
        Ok(std::mem::take(held(&mut found)?))
    }

    /// One of them. [`ErrorCode::ResourceNotFound`].
    pub fn certificate(
        &self,
        caller: &Caller,
        of: CertificateHolder<'_>,
        name: &str,
    ) -> Result<CaCertificate> {
        let mut all = self.certificates(caller, of)?;
        position(&all, of, name).map(|at| all.swap_remove(at))
    }

    /// Adds a certificate, or puts another in its place. `text` is PEM, or base64 of DER; `verified`: the operator knows
    /// whose it is and no proof is asked for.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] where it is no authority's certificate, [`ErrorCode::QuotaExceeded`],
    /// [`ErrorCode::PreconditionFailed`].
    pub async fn put_certificate(
        &self,
        caller: &Caller,
        of: CertificateHolder<'_>,
        name: &str,
        text: &str,
        verified: bool,
        expect: Expect,
    ) -> Result<CaCertificate> {
        administer(caller)?;
        check_name(name)?;
        let certificate = authority(text)?;
        self.change_certificates(of, |certificates, this| {
            let now = this.context.clock.now();
            let at = certificates.iter().position(|one| one.name.eq_ignore_ascii_case(name));
            expected(at.map(|at| &certificates[at]), &expect)?;
            if at.is_none() && certificates.len() >= this.context.limits.ca_certificates {
                let most = this.context.limits.ca_certificates;
                let message =
                    format!("'{}' has {most} certificates, which is the limit: delete one first", of.name);
                return Err(Error::new(ErrorCode::QuotaExceeded, message));
            }
            let same = at.filter(|at| certificates[*at].certificate.0 == certificate.der().as_ref());
            let made = CaCertificate {
                name: at.map_or_else(|| name.to_owned(), |at| certificates[at].name.clone()),
                certificate: Der(certificate.der().to_vec()),
                // Proof of one certificate's key proves nothing of another's.
                verified: verified || same.is_some_and(|at| certificates[at].verified),
                verification_code: None,
                created: at.map_or(now, |at| certificates[at].created),
                updated: now,
                etag: Etag::fresh(&*this.context.random),
            };
            match at {
                Some(at) => certificates[at] = made.clone(),
                None => certificates.push(made.clone()),
            }
            Ok(made)
        })
        .await
    }

    /// Takes a certificate out. Enrollments that name it admit nobody from then on.
    pub async fn delete_certificate(
        &self,
        caller: &Caller,
        of: CertificateHolder<'_>,
        name: &str,
        expect: Expect,
    ) -> Result<()> {
        administer(caller)?;
        self.change_certificates(of, |certificates, _| {
            let at = position(certificates, of, name)?;
            expected(Some(&certificates[at]), &expect)?;
            certificates.remove(at);
            Ok(())
        })
        .await
    }

    /// Makes up the code that a certificate must bear which proves possession; the one before it proves nothing any more.
    pub async fn make_verification_code(
        &self,
        caller: &Caller,
        of: CertificateHolder<'_>,
        name: &str,
        expect: Expect,
    ) -> Result<CaCertificate> {
        administer(caller)?;
        self.change_certificates(of, |certificates, this| {
            let at = position(certificates, of, name)?;
            expected(Some(&certificates[at]), &expect)?;
            let mut code = [0; CODE];
            this.context.random.fill(&mut code);
            let one = &mut certificates[at];
            one.verification_code = Some(code.iter().map(|byte| format!("{byte:02X}")).collect());
            this.touch(one);
            Ok(one.clone())
        })
        .await
    }

    /// Believes that somebody has the key of a certificate: `text` is a certificate that is signed with it and bears the
    /// verification code as its subject's common name.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] says which of the two does not hold.
    pub async fn verify_certificate(
        &self,
        caller: &Caller,
        of: CertificateHolder<'_>,
        name: &str,
        text: &str,
        expect: Expect,
    ) -> Result<CaCertificate> {
        administer(caller)?;
        let proof = Certificate::from_text(text).map_err(|error| {
            Error::invalid(format!("the verification certificate does not parse: {error}"))
        })?;
        self.change_certificates(of, |certificates, this| {
            let at = position(certificates, of, name)?;
            expected(Some(&certificates[at]), &expect)?;
            let one = &mut certificates[at];
            prove(one, &proof, this.context.clock.now())?;
            (one.verified, one.verification_code) = (true, None);
            this.touch(one);
            Ok(one.clone())
        })
        .await
    }

    fn touch(&self, one: &mut CaCertificate) {
        one.updated = self.context.clock.now();
        one.etag = Etag::fresh(&*self.context.random);
    }

    async fn change_certificates<T>(
        &self,
        of: CertificateHolder<'_>,
        change: impl FnOnce(&mut Vec<CaCertificate>, &Self) -> Result<T>,
    ) -> Result<T> {
        let _one = self.change_alone().await?;
        let present = self.context.table.get(of.kind, of.name)?;
        let mut resource = Resource::clone(&present);
        let changed = change(held(&mut resource)?, self)?;
        self.replace(&present, resource).await?;
        Ok(changed)
    }
}

fn held(resource: &mut Resource) -> Result<&mut Vec<CaCertificate>> {
    let kind = resource.kind();
    match &mut resource.properties {
        Properties::Dps(dps) => Ok(&mut dps.certificates),
        Properties::Hub(hub) => Ok(&mut hub.certificates),
        Properties::Events(_) | Properties::Twins(_) | Properties::Functions(_) => {
            Err(Error::invalid(format!("a {kind} has no certificates of authorities: a dps and a hub have")))
        }
    }
}

fn position(certificates: &[CaCertificate], of: CertificateHolder<'_>, name: &str) -> Result<usize> {
    let missing = || format!("'{}' has no certificate '{}'", of.name, shown(name));
    let at = certificates.iter().position(|one| one.name.eq_ignore_ascii_case(name));
    at.ok_or_else(|| Error::new(ErrorCode::ResourceNotFound, missing()))
}

fn expected(found: Option<&CaCertificate>, expect: &Expect) -> Result<()> {
    let holds = match (expect, found) {
        (Expect::Any, _) | (Expect::Present, Some(_)) | (Expect::Absent, None) => true,
        (Expect::Etag(wanted), Some(found)) => *wanted == found.etag,
        _ => false,
    };
    if holds {
        return Ok(());
    }
    let message = "the certificate's etag is not the one given in If-Match: read it again";
    Err(Error::new(ErrorCode::PreconditionFailed, message))
}

fn check_name(name: &str) -> Result<()> {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if (1..=NAME).contains(&name.len()) && name.bytes().all(taken) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no name of a certificate: use 1 to {NAME} ASCII letters, digits and - . _",
        shown(name)
    )))
}

fn authority(text: &str) -> Result<Certificate> {
    let read = Certificate::from_text(text)
        .map_err(|error| Error::invalid(format!("the certificate does not parse: {error}")))?;
    if read.is_authority() {
        return Ok(read);
    }
    let message = "the certificate is not that of an authority: its basic constraints must say CA";
    Err(Error::invalid(message))
}

/// [`Error::invalid`] unless `proof` shows that its maker has the key of `one`.
fn prove(one: &CaCertificate, proof: &Certificate, now: pollux_model::Timestamp) -> Result<()> {
    let Some(code) = &one.verification_code else {
        return Err(Error::invalid(format!(
            "'{}' has no verification code: ask for one first (generate-verification-code)",
            one.name
        )));
    };
    if proof.common_name() != Some(code) {
        return Err(Error::invalid(
            "the common name of the verification certificate's subject is not the verification code",
        ));
    }
    let authority = Certificate::from_der(&one.certificate.0).map_err(|_| Error::internal())?;
    Chain::of(proof.clone()).below(&authority, now).map(|_| ()).map_err(|why| {
        Error::invalid(format!("the verification certificate is not signed by '{}': {why}", one.name))
    })
}

#[cfg(test)]
mod tests;
