//! Which entry would let a device in or refuse it, why, and what would come after a change.
//!
//! Azure article "How to deprovision devices that were previously auto-provisioned": who deletes an entry should know
//! whether another one lets the device in again.

use pollux_model::enrollment::IndividualEnrollment;
use pollux_model::registration::Registration;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{RegistrationId, Result};
use pollux_x509::Chain;

use super::Provisioning;
use super::attest::decision::{Changes, Decision, Entries, Entry, Proof, Verdict, Vouching};
use super::attest::hierarchy::Hierarchy;
use super::attest::{self, Groups};
use crate::caller::{Caller, Right};

/// What is asked.
#[derive(Debug, Default)]
pub struct ExplainRequest {
    /// The device, as it writes itself.
    pub registration_id: String,
    /// The certificates that it would show.
    pub chain: Option<Chain>,
    /// The token that it would show.
    pub token: Option<SasToken>,
    /// What would be changed.
    pub changes: Changes,
}

/// What is answered.
#[derive(Debug)]
pub struct Explanation {
    /// The device.
    pub registration_id: String,
    /// `certificate`, `token`, or `record`: nothing was shown, and its record speaks for it.
    pub by: &'static str,
    /// As entries are.
    pub now: Decision,
    /// After the changes that were asked for.
    pub after: Option<Decision>,
    /// After the entry that decides now were deleted, and after it were disabled.
    pub if_deleted: Option<Decision>,
    /// See `if_deleted`.
    pub if_disabled: Option<Decision>,
    /// The groups that speak for the device.
    pub groups: Vec<Vouching>,
    /// Whether there may be more of them: nothing was shown, and there are groups of which it cannot be told.
    pub uncertain: bool,
    /// What became of it, if the caller may know.
    pub record: Option<Registration>,
}

impl Provisioning {
    /// Explains; needs the right to read enrollments. To devices themselves none of it is told.
    pub async fn explain(
        &self,
        caller: &Caller,
        dps: &Resource,
        request: ExplainRequest,
    ) -> Result<Explanation> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentRead))?;
        let displayed = request.registration_id.as_str();
        let id = RegistrationId::parse(displayed)?;
        let record = self.context.store.registration(&dps.name, &id).await?;
        let now = self.context.clock.now();
        let (by, proof) = match (&request.chain, &request.token) {
            (Some(chain), _) => ("certificate", Proof::Certificate { chain, now }),
            (None, Some(token)) => ("token", Proof::Token { displayed, token, now }),
            (None, None) => ("record", Proof::Record),
        };
        let mut entries = self.entries(dps, &id, proof, Groups::All).await?;
        let mut uncertain = false;
        if matches!(proof, Proof::Record) {
            let group = record.as_ref().and_then(|record| record.group.as_deref());
            let own = self.context.store.enrollment(&dps.name, &id).await?;
            (entries.groups, uncertain) = self.groups_by_record(dps, own.as_ref(), group).await?;
        }
        let said = self.in_order(dps, displayed, proof);
        let decide = |changes: &Changes| decided(&entries, &said, changes);
        let now = decide(&Changes::default());
        let [if_deleted, if_disabled] = around(now.by.as_ref()).map(|changes| changes.as_ref().map(decide));
        let may_know = Right::Policy(PolicyRight::RegistrationStatusRead);
        Ok(Explanation {
            by,
            now,
            after: (!request.changes.is_empty()).then(|| decide(&request.changes)),
            if_deleted,
            if_disabled,
            uncertain,
            record: record.filter(|_| caller.require(ResourceKind::Dps, &dps.name, may_know).is_ok()),
            groups: entries.groups,
            registration_id: request.registration_id,
        })
    }

    /// What is asked of the proof itself, before any entry is.
    fn in_order(&self, dps: &Resource, displayed: &str, proof: Proof<'_>) -> Result<(), String> {
        match proof {
            Proof::Certificate { chain, .. } => {
                attest::in_order(dps, chain, displayed).map_err(str::to_owned)
            }
            Proof::Token { token, .. } => {
                self.check_frame(dps, displayed, token).map_err(|error| error.message)
            }
            Proof::Record => Ok(()),
        }
    }

    /// The groups that would speak for the devices of a group if it were deleted.
    pub async fn explain_group(&self, caller: &Caller, dps: &Resource, group: &str) -> Result<Vec<Vouching>> {
        let group = self.enrollment_group(caller, dps, group).await?;
        let (mut found, _) = self.groups_by_record(dps, None, Some(&group.id)).await?;
        found.retain(|one| one.entry != Entry::Group(group.id.clone()));
        Ok(found)
    }

    /// The groups that speak for a device that shows nothing: see `hierarchy`.
    async fn groups_by_record(
        &self,
        dps: &Resource,
        own: Option<&IndividualEnrollment>,
        recorded: Option<&str>,
    ) -> Result<(Vec<Vouching>, bool)> {
        let properties = Self::dps(dps)?;
        let mut hierarchy = Hierarchy::of(properties, own);
        for group in self.groups.all(&dps.name).await?.iter() {
            let is_recorded = recorded.is_some_and(|id| id.eq_ignore_ascii_case(&group.id));
            hierarchy.add(properties, group, is_recorded);
        }
        Ok(hierarchy.groups())
    }
}

fn decided(entries: &Entries, in_order: &Result<(), String>, changes: &Changes) -> Decision {
    match in_order {
        Ok(()) => entries.decide(changes),
        Err(why) => Decision { verdict: Verdict::Refused, by: None, distance: None, reason: why.clone() },
    }
}

/// What deletes, and what disables, the entry that decides.
fn around(by: Option<&Entry>) -> [Option<Changes>; 2] {
    let changes = match by {
        None => return [None, None],
        Some(Entry::Individual(_)) => [
            Changes { without_enrollment: true, ..Changes::default() },
            Changes { disable_enrollment: true, ..Changes::default() },
        ],
        Some(Entry::Group(id)) => [
            Changes { without_groups: vec![id.clone()], ..Changes::default() },
            Changes { disable_groups: vec![id.clone()], ..Changes::default() },
        ],
    };
    changes.map(Some)
}
