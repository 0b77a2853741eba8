//! Groups that would speak for a device whose proof is not at hand: the one in its registration record, those whose
//! certificates signed that group's or the device's own, directly or through others that are known here, and those from
//! whose keys its own are derived.

use pollux_model::KeyPair;
use pollux_model::enrollment::{Attestation, EnrollmentGroup, IndividualEnrollment};
use pollux_model::registration::Registration;
use pollux_model::resource::Dps;
use pollux_x509::Certificate;

use super::certificate::signers;
use super::decision::{Entry, Vouching};

/// A certificate, and the group that has it enrolled; of no group: one that is known to the service by name.
struct Known {
    group: Option<Vouching>,
    certificate: Certificate,
}

/// What is known of certificates and keys.
pub(in crate::provisioning) struct Hierarchy<'a> {
    known: Vec<Known>,
    /// Groups that admit by derived key.
    by_key: Vec<(Vouching, KeyPair)>,
    /// From where it goes upwards.
    from: Vec<Certificate>,
    /// 1 where that is the device's own certificate: one that signed it is at no distance.
    below: usize,
    /// The group through which the device came.
    recorded: Option<&'a str>,
    own: Option<Vouching>,
    /// The keys of that group.
    keys: Option<KeyPair>,
    /// The device's own keys, and how it writes its id.
    own_keys: Option<(KeyPair, Vec<&'a str>)>,
    /// It came through an entry of its own that asks for a key or a TPM.
    proves_by_own_key: bool,
}

/// The groups that speak for a device, the nearest first.
#[derive(Debug, Default)]
pub(in crate::provisioning) struct Speaking {
    pub(in crate::provisioning) groups: Vec<Vouching>,
    /// There may be more above these: a certificate on the way is not known here, or nothing is known of the device.
    pub(in crate::provisioning) more_above: bool,
    /// There may be more below these, nearer to the device.
    pub(in crate::provisioning) more_below: bool,
}

impl<'a> Hierarchy<'a> {
    /// Of a device that came through this group, of which no more is known.
    pub(in crate::provisioning) fn of_group(dps: &Dps, recorded: Option<&'a str>) -> Self {
        let read = dps.certificates.iter().filter_map(|one| Certificate::from_der(&one.certificate.0).ok());
        Self {
            known: read.map(|certificate| Known { group: None, certificate }).collect(),
            by_key: Vec::new(),
            from: Vec::new(),
            below: 0,
            recorded,
            own: None,
            keys: None,
            own_keys: None,
            proves_by_own_key: false,
        }
    }

    /// Of a device that is asked for as `displayed`, with an enrollment of its own, or without.
    pub(in crate::provisioning) fn of_device(
        dps: &Dps,
        displayed: &'a str,
        own: Option<&IndividualEnrollment>,
        record: Option<&'a Registration>,
    ) -> Self {
        let mut made = Self::of_group(dps, record.and_then(|record| record.group.as_deref()));
        let Some(own) = own else { return made };
        made.from = read_all(dps, &own.attestation);
        made.below = usize::from(!made.from.is_empty());
        if let Attestation::SymmetricKey { keys } = &own.attestation {
            let ids = record.map(|record| record.displayed_id.as_str()).into_iter().chain([displayed]);
            made.own_keys = Some((keys.clone(), ids.collect()));
        }
        let by_key = !matches!(own.attestation, Attestation::X509 { .. });
        made.proves_by_own_key = by_key && record.is_some_and(|record| record.group.is_none());
        made
    }

    /// Takes a group in.
    pub(in crate::provisioning) fn add(&mut self, dps: &Dps, group: &EnrollmentGroup) {
        let (entry, status) = (Entry::Group(group.id.clone()), group.rules.status);
        let vouching = Vouching { entry, status, distance: 0 };
        let certificates = read_all(dps, &group.attestation);
        let recorded = self.recorded.is_some_and(|id| id.eq_ignore_ascii_case(&group.id));
        if recorded {
            self.own = Some(vouching.clone());
            // The device's own certificate leads to more groups than its group's.
            if self.from.is_empty() {
                self.from.clone_from(&certificates);
            }
        }
        if let Attestation::SymmetricKey { keys } = &group.attestation {
            self.by_key.push((vouching.clone(), keys.clone()));
            if recorded {
                self.keys = Some(keys.clone());
            }
        }
        let known =
            certificates.into_iter().map(|certificate| Known { group: Some(vouching.clone()), certificate });
        self.known.extend(known);
    }

    /// The groups that speak for the device, and whether there may be more.
    pub(in crate::provisioning) fn groups(&self) -> Speaking {
        let mut groups: Vec<Vouching> = self.own.iter().cloned().collect();
        let mut find = |one: &Vouching, distance: usize| {
            if groups.iter().all(|known| known.entry != one.entry) {
                groups.push(Vouching { distance, ..one.clone() });
            }
        };
        self.by_key.iter().filter(|(_, keys)| self.opens(keys)).for_each(|(one, _)| find(one, 0));
        let (way, whole) = self.way_up(self.from.iter().collect());
        for (level, certificate) in &way {
            let same = |one: &&Known| one.certificate.der() == certificate.der();
            for one in self.known.iter().filter(same).filter_map(|one| one.group.as_ref()) {
                find(one, level.saturating_sub(self.below));
            }
        }
        let new = |one: &Vouching| groups.iter().all(|known| known.entry != one.entry);
        if self.from.is_empty() {
            let known = self.proves_by_own_key || self.keys.is_some();
            let mut others = self.by_key.iter().map(|(one, _)| one);
            let mut all = self.known.iter().filter_map(|one| one.group.as_ref());
            let more_above = !known && (others.any(new) || all.any(new));
            return Speaking { groups, more_above, more_below: false };
        }
        let (mut more_above, mut more_below) = (false, false);
        for other in self.known.iter().filter(|one| one.group.as_ref().is_some_and(new)) {
            let (its_way, its_whole) = self.way_up(vec![&other.certificate]);
            let is_below = its_way.iter().any(|(_, one)| is_among(one, &self.from));
            more_above |= !whole && !is_below;
            more_below |= self.below == 0 && (is_below || !its_whole);
        }
        Speaking { groups, more_above, more_below }
    }

    /// Whether the device has a key that is derived from these.
    fn opens(&self, keys: &KeyPair) -> bool {
        let own = self.own_keys.as_ref();
        own.is_some_and(|(own, ids)| ids.iter().any(|id| share(&keys.derive(id), own)))
            || self.keys.as_ref().is_some_and(|group| share(keys, group))
    }

    /// What signed these, directly or through others, with how far above they are, and whether that is all of it: each end is a
    /// root.
    fn way_up<'s>(&'s self, from: Vec<&'s Certificate>) -> (Vec<(usize, &'s Certificate)>, bool) {
        let (mut reached, mut whole) = (from.iter().map(|one| (0, *one)).collect::<Vec<_>>(), true);
        let (mut frontier, mut level) = (from, 0_usize);
        while !frontier.is_empty() {
            level += 1;
            let mut next: Vec<&Certificate> = Vec::new();
            for below in frontier {
                let above = self.known.iter().map(|one| &one.certificate).filter(|one| {
                    // Names first: a signature takes a while.
                    one.subject() == below.issuer() && below.is_signed_by(one)
                });
                let above: Vec<_> = above.collect();
                whole &= !above.is_empty() || below.subject() == below.issuer();
                next.extend(above);
            }
            next.retain(|one| reached.iter().all(|(_, known)| known.der() != one.der()));
            reached.extend(next.iter().map(|one| (level, *one)));
            frontier = next;
        }
        (reached, whole)
    }
}

fn share(a: &KeyPair, b: &KeyPair) -> bool {
    [&a.primary, &a.secondary].iter().any(|key| **key == b.primary || **key == b.secondary)
}

fn is_among(one: &Certificate, many: &[Certificate]) -> bool {
    many.iter().any(|other| other.der() == one.der())
}

fn read_all(dps: &Dps, attestation: &Attestation) -> Vec<Certificate> {
    let Attestation::X509 { trust } = attestation else { return Vec::new() };
    signers(dps, trust).iter().filter_map(|one| Certificate::from_der(&one.0).ok()).collect()
}
