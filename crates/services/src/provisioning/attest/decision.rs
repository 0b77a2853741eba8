//! Which entry decides for a device, and how it decides: one rule, for letting devices in and for telling why.
//!
//! Azure article "X.509 certificate attestation", "DPS order of operations": the device's own entry, enabled or disabled,
//! decides before any group; of groups the one whose certificate is nearest to the device's. Of groups equally near one that
//! is disabled decides. Pure: entries come in, a [`Decision`] comes out.

use std::collections::BTreeMap;

use pollux_model::device::Status;
use pollux_model::enrollment::{Attestation, EnrollmentGroup, IndividualEnrollment};
use pollux_model::resource::Dps;
use pollux_model::sas::SasToken;
use pollux_model::{RegistrationId, Timestamp};
use pollux_x509::Chain;

use super::{certificate, tpm};

/// Reasons of groups that a decision tells.
const REASONS: usize = 3;
/// Groups that it names with each.
const NAMED: usize = 2;

/// What a device shows to prove who it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::provisioning) enum Proof<'a> {
    /// A token, and its id as it wrote it.
    Token { displayed: &'a str, token: &'a SasToken, now: Timestamp },
    /// Its certificate, with those that lead upwards.
    Certificate { chain: &'a Chain, now: Timestamp },
    /// Nothing is at hand (its certificate is lost): what is known of it speaks for it.
    Record,
}

/// An entry of the enrollment list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The device's own.
    Individual(RegistrationId),
    /// A group's.
    Group(String),
}

/// An entry that speaks for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouching {
    /// Which.
    pub entry: Entry,
    /// A disabled one refuses.
    pub status: Status,
    /// Certificates between the device's and the entry's; 0 for keys.
    pub distance: usize,
}

/// How it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The device may register.
    Admitted,
    /// The entry that decides is disabled.
    Disabled,
    /// No entry speaks for it, or its own knows other proof.
    Refused,
}

impl Verdict {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Disabled => "disabled",
            Self::Refused => "refused",
        }
    }
}

/// Who decides, what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// The entry that decides; `None` where there is none.
    pub by: Option<Entry>,
    /// Certificates between the device's and the entry's, where the entry speaks for the device.
    pub distance: Option<usize>,
    /// For operators: a device is not told.
    pub reason: String,
}

/// Entries as they might be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Without the device's own entry.
    pub without_enrollment: bool,
    /// With a disabled entry of its own, whether there is one now or not.
    pub disable_enrollment: bool,
    /// Without these groups.
    pub without_groups: Vec<String>,
    /// With these groups disabled.
    pub disable_groups: Vec<String>,
}

impl Changes {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The entries that have a say in who a device is.
#[derive(Debug)]
pub(in crate::provisioning) struct Entries {
    id: RegistrationId,
    /// Its own, and whether what the device shows fits to it.
    own: Option<(Status, Result<(), String>)>,
    /// Until when what it opened with its TPM is believed.
    until: Option<Timestamp>,
    /// Groups that speak for it.
    pub(in crate::provisioning) groups: Vec<Vouching>,
    /// Those that want such proof, but not this one, and why.
    refusing: Vec<(String, String)>,
}

impl Entries {
    pub(super) fn of(
        id: &RegistrationId,
        dps: &Dps,
        own: Option<&IndividualEnrollment>,
        proof: Proof<'_>,
    ) -> Self {
        let mut until = None;
        let own = own.map(|own| {
            let known = match (proof, &own.attestation) {
                (Proof::Record, _) => Ok(()),
                (Proof::Certificate { chain, now }, attestation) => {
                    certificate::distance(dps, attestation, chain, now).map(|_| ())
                }
                (Proof::Token { token, .. }, Attestation::SymmetricKey { keys }) if keys.signed(token) => {
                    Ok(())
                }
                (Proof::Token { token, now, .. }, Attestation::Tpm { secret, .. }) => {
                    until = tpm::signed(secret, id, token, now);
                    let wrong = "the token is not signed with what its TPM was to open";
                    until.map(|_| ()).ok_or_else(|| wrong.to_owned())
                }
                (Proof::Token { .. }, Attestation::SymmetricKey { .. }) => {
                    Err("the token is not signed with one of its keys".to_owned())
                }
                (Proof::Token { .. }, _) => Err("it wants no token signed with a key".to_owned()),
            };
            (own.rules.status, known)
        });
        Self { id: id.clone(), own, until, groups: Vec::new(), refusing: Vec::new() }
    }

    /// Until when its own entry believes what it shows, where that is not as long as what it shows says.
    pub(super) const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether groups have no say.
    pub(super) const fn are_decided(&self) -> bool {
        self.own.is_some()
    }

    /// Takes a group in, if it speaks for the device.
    pub(super) fn weigh(&mut self, dps: &Dps, group: &EnrollmentGroup, proof: Proof<'_>) {
        let distance = match (proof, &group.attestation) {
            (Proof::Certificate { chain, now }, attestation @ Attestation::X509 { .. }) => {
                certificate::distance(dps, attestation, chain, now)
            }
            (Proof::Token { displayed, token, .. }, Attestation::SymmetricKey { keys }) => {
                let wrong = || "the token is not signed with a key derived from the group's".to_owned();
                keys.derive(displayed).signed(token).then_some(0).ok_or_else(wrong)
            }
            // Who speaks for it then is found by `hierarchy`.
            (Proof::Record, _) | (Proof::Certificate { .. } | Proof::Token { .. }, _) => return,
        };
        match distance {
            Ok(distance) => self.groups.push(Vouching {
                entry: Entry::Group(group.id.clone()),
                status: group.rules.status,
                distance,
            }),
            Err(why) => self.refusing.push((group.id.clone(), why)),
        }
    }

    /// Who decides once these changes are made.
    pub(in crate::provisioning) fn decide(&self, changes: &Changes) -> Decision {
        self.own_decision(changes).unwrap_or_else(|| self.decision_of_groups(changes))
    }

    /// Its own entry decides whatever it says.
    fn own_decision(&self, changes: &Changes) -> Option<Decision> {
        let by = Some(Entry::Individual(self.id.clone()));
        let own = self.own.as_ref().filter(|_| !changes.without_enrollment);
        let (status, known) = match (own, changes.disable_enrollment) {
            (None, false) => return None,
            (None, true) => (Status::Disabled, &Ok(())),
            (Some((_, known)), true) => (Status::Disabled, known),
            (Some((status, known)), false) => (*status, known),
        };
        Some(match (known, status) {
            (Err(why), _) => Decision {
                verdict: Verdict::Refused,
                by,
                distance: None,
                reason: format!("its individual enrollment decides: {why}"),
            },
            (Ok(()), Status::Disabled) => Decision {
                verdict: Verdict::Disabled,
                by,
                distance: Some(0),
                reason: "its individual enrollment is disabled, and decides before any group".to_owned(),
            },
            (Ok(()), Status::Enabled) => Decision {
                verdict: Verdict::Admitted,
                by,
                distance: Some(0),
                reason: "its individual enrollment is enabled, and decides before any group".to_owned(),
            },
        })
    }

    fn decision_of_groups(&self, changes: &Changes) -> Decision {
        let among = |names: &[String], id: &str| names.iter().any(|name| name.eq_ignore_ascii_case(id));
        let named =
            |names: &[String], one: &Vouching| matches!(&one.entry, Entry::Group(id) if among(names, id));
        let enabled = |one: &Vouching| one.status.is_enabled() && !named(&changes.disable_groups, one);
        let left = self.groups.iter().filter(|one| !named(&changes.without_groups, one));
        let Some(nearest) = left.min_by_key(|one| (one.distance, enabled(one))) else {
            let refusing = self.refusing.iter().filter(|(id, _)| !among(&changes.without_groups, id));
            let mut reason =
                "no individual enrollment, and no group speaks for what the device shows".to_owned();
            reason.extend(told(refusing));
            return Decision { verdict: Verdict::Refused, by: None, distance: None, reason };
        };
        let (verdict, status) =
            if enabled(nearest) { (Verdict::Admitted, "enabled") } else { (Verdict::Disabled, "disabled") };
        Decision {
            verdict,
            by: Some(nearest.entry.clone()),
            distance: Some(nearest.distance),
            reason: format!("no individual enrollment; the nearest group that speaks for it is {status}"),
        }
    }
}

/// Why groups refuse, what the fewest say first: of groups that have nothing to do with the device all say the same.
fn told<'r>(refusing: impl Iterator<Item = &'r (String, String)>) -> Option<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, why) in refusing {
        by_reason.entry(why).or_default().push(group);
    }
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, groups)| groups.len());
    let said = reasons.iter().take(REASONS).map(|(why, groups)| {
        let more = match groups.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}: {why}", groups[..groups.len().min(NAMED)].join(", "))
    });
    let said: Vec<_> = said.collect();
    (!said.is_empty()).then(|| format!(" ({})", said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_few_groups_say_is_told_first() {
        let of = |group: String, why: &str| (group, why.to_owned());
        let mut refusing: Vec<_> = (0..90).map(|n| of(format!("other-{n}"), "no way there")).collect();
        refusing.push(of("line".to_owned(), "it has expired"));
        let text = told(refusing.iter()).unwrap();
        assert_eq!(text, " (line: it has expired; other-0, other-1 and 88 more: no way there)");
        assert_eq!(told([].iter()), None);
    }
}
