//! Groups that would speak for a device whose certificate is not at hand: the one in its registration record, and those
//! whose certificates signed that group's or the device's own, directly or through others that are known here.

use pollux_model::enrollment::{Attestation, EnrollmentGroup, IndividualEnrollment};
use pollux_model::resource::Dps;
use pollux_x509::Certificate;

use super::certificate::signers;
use super::decision::{Entry, Vouching};

/// A certificate, and the group that has it enrolled; of no group: one that is known to the service by name.
struct Known {
    group: Option<Vouching>,
    certificate: Certificate,
}

/// What is known of certificates.
pub(in crate::provisioning) struct Hierarchy {
    known: Vec<Known>,
    /// From where it goes upwards.
    from: Vec<Certificate>,
    /// 1 where that is the device's own certificate: one that signed it is at no distance.
    below: usize,
    /// The group of the record.
    own: Option<Vouching>,
}

impl Hierarchy {
    /// Of a device with an enrollment of its own, or without.
    pub(in crate::provisioning) fn of(dps: &Dps, own: Option<&IndividualEnrollment>) -> Self {
        let read = dps.certificates.iter().filter_map(|one| Certificate::from_der(&one.certificate.0).ok());
        let known = read.map(|certificate| Known { group: None, certificate }).collect();
        let from = own.map(|own| read_all(dps, &own.attestation)).unwrap_or_default();
        Self { known, below: usize::from(!from.is_empty()), from, own: None }
    }

    /// Takes a group in; `recorded`: the device came through it.
    pub(in crate::provisioning) fn add(&mut self, dps: &Dps, group: &EnrollmentGroup, recorded: bool) {
        let (entry, status) = (Entry::Group(group.id.clone()), group.rules.status);
        let vouching = Vouching { entry, status, distance: 0 };
        let certificates = read_all(dps, &group.attestation);
        if recorded {
            self.own = Some(vouching.clone());
            // The device's own certificate leads to more groups than its group's.
            if self.from.is_empty() {
                self.from.clone_from(&certificates);
            }
        }
        let known =
            certificates.into_iter().map(|certificate| Known { group: Some(vouching.clone()), certificate });
        self.known.extend(known);
    }

    /// The groups that speak for the device, the nearest first, and whether there may be more: groups whose certificates
    /// lead nowhere that is known.
    pub(in crate::provisioning) fn groups(self) -> (Vec<Vouching>, bool) {
        let mut found: Vec<Vouching> = self.own.iter().cloned().collect();
        let mut frontier: Vec<&Certificate> = self.from.iter().collect();
        let (mut reached, mut level) = (frontier.clone(), 0_usize);
        while !frontier.is_empty() {
            let distance = level.saturating_sub(self.below);
            for one in self.known.iter().filter(|one| is_among(&one.certificate, &frontier)) {
                let new = one.group.as_ref().filter(|new| found.iter().all(|known| known.entry != new.entry));
                found.extend(new.map(|new| Vouching { distance, ..new.clone() }));
            }
            let signs = |one: &&Certificate| {
                frontier.iter().any(|below| below.is_signed_by(one)) && !is_among(one, &reached)
            };
            let next: Vec<_> = self.known.iter().map(|one| &one.certificate).filter(signs).collect();
            reached.extend(&next);
            (frontier, level) = (next, level + 1);
        }
        let others = self.known.iter().filter_map(|one| one.group.as_ref());
        let more = !self.from.is_empty()
            && others.into_iter().any(|one| found.iter().all(|known| known.entry != one.entry));
        (found, more)
    }
}

fn is_among(one: &Certificate, many: &[&Certificate]) -> bool {
    many.iter().any(|other| other.der() == one.der())
}

fn read_all(dps: &Dps, attestation: &Attestation) -> Vec<Certificate> {
    let Attestation::X509 { trust } = attestation else { return Vec::new() };
    signers(dps, trust).iter().filter_map(|one| Certificate::from_der(&one.0).ok()).collect()
}
