//! Which entry would let a device in or refuse it, why, and what would come after a change.
//!
//! Azure article "How to deprovision devices that were previously auto-provisioned": who deletes an entry should know
//! whether another one lets the device in again.

use pollux_model::device::Status;
use pollux_model::registration::Registration;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceId, RegistrationId, Result};
use pollux_x509::Chain;

use super::Provisioning;
use super::attest::decision::{Changes, Decision, Entries, Entry, Proof, Verdict, Vouching};
use super::attest::hierarchy::{Hierarchy, Speaking};
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
    /// Whose the certificate is that would be shown.
    pub common_name: Option<String>,
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
    /// Groups that were named in the changes, and are not there.
    pub unknown_groups: Vec<String>,
    /// What became of it, if the caller may know.
    pub record: Option<Registration>,
    /// What its registrations made in hubs, likewise.
    pub devices: Vec<MadeDevice>,
}

/// A device that was made by a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeDevice {
    /// Host name of its hub.
    pub hub: String,
    /// Its id there.
    pub id: DeviceId,
    /// Whether it may connect.
    pub status: Status,
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
        let store = &self.context.store;
        let (record, own) =
            (store.registration(&dps.name, &id).await?, store.enrollment(&dps.name, &id).await?);
        let now = self.context.clock.now();
        let (by, proof) = match (&request.chain, &request.token) {
            (Some(chain), _) => ("certificate", Proof::Certificate { chain, now }),
            (None, Some(token)) => ("token", Proof::Token { displayed, token, now }),
            (None, None) => ("record", Proof::Record),
        };
        let mut entries = self.entries(dps, &id, proof, Groups::All).await?;
        let mut uncertain = false;
        if matches!(proof, Proof::Record) {
            let known = Hierarchy::of_device(Self::dps(dps)?, displayed, own.as_ref(), record.as_ref());
            let found = self.speaking(dps, known).await?;
            uncertain = found.more_above || found.more_below;
            entries.groups = found.groups;
        }
        let said = self.in_order(dps, displayed, proof);
        let decide = |changes: &Changes| decided(&entries, &said, changes);
        let now = decide(&Changes::default());
        let [if_deleted, if_disabled] = around(now.by.as_ref()).map(|changes| changes.as_ref().map(decide));
        let may_know = Right::Policy(PolicyRight::RegistrationStatusRead);
        let may_know = caller.require(ResourceKind::Dps, &dps.name, may_know).is_ok();
        let named = own.as_ref().and_then(|own| own.device_id.as_deref());
        let ids = [record.as_ref().and_then(|record| record.device_id.as_deref()), named, Some(displayed)];
        let devices = if may_know { self.made(dps, &id, &ids).await? } else { Vec::new() };
        Ok(Explanation {
            by,
            common_name: request
                .chain
                .as_ref()
                .and_then(|chain| chain.leaf().common_name())
                .map(str::to_owned),
            now,
            after: (!request.changes.is_empty()).then(|| decide(&request.changes)),
            if_deleted,
            if_disabled,
            uncertain,
            unknown_groups: self.unknown_groups(dps, &request.changes).await?,
            record: record.filter(|_| may_know),
            devices,
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

    /// The groups that would speak for the devices of a group if it were deleted, and whether there may be more of them.
    pub async fn explain_group(
        &self,
        caller: &Caller,
        dps: &Resource,
        group: &str,
    ) -> Result<(Vec<Vouching>, bool)> {
        let group = self.enrollment_group(caller, dps, group).await?;
        let known = Hierarchy::of_group(Self::dps(dps)?, Some(&group.id));
        // Those below decide for their devices whatever this one says.
        let Speaking { mut groups, more_above, .. } = self.speaking(dps, known).await?;
        groups.retain(|one| one.entry != Entry::Group(group.id.clone()));
        Ok((groups, more_above))
    }

    /// The groups that speak for a device that shows nothing: see `hierarchy`.
    async fn speaking(&self, dps: &Resource, mut known: Hierarchy<'_>) -> Result<Speaking> {
        let properties = Self::dps(dps)?;
        for group in self.groups.all(&dps.name).await?.iter() {
            known.add(properties, group);
        }
        Ok(known.groups())
    }

    async fn unknown_groups(&self, dps: &Resource, changes: &Changes) -> Result<Vec<String>> {
        let all = self.groups.all(&dps.name).await?;
        let named = changes.without_groups.iter().chain(&changes.disable_groups);
        Ok(named.filter(|name| !all.iter().any(|one| one.id.eq_ignore_ascii_case(name))).cloned().collect())
    }

    /// The devices of these ids that a registration made, in whichever hub.
    async fn made(
        &self,
        dps: &Resource,
        registration: &RegistrationId,
        ids: &[Option<&str>],
    ) -> Result<Vec<MadeDevice>> {
        let mut ids: Vec<_> = ids.iter().flatten().filter_map(|id| DeviceId::parse(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        let all = self.context.table.all();
        let mut found = Vec::new();
        for hub in all.iter().filter(|one| one.kind() == ResourceKind::Hub) {
            for id in &ids {
                let Some(device) = self.context.store.device(&hub.name, id).await? else { continue };
                let by = device.identity.provisioned_by.as_ref();
                if by.is_some_and(|by| by.dps == *dps.name && by.registration_id == registration.as_str()) {
                    let (hub, status) = (hub.host_name.clone(), device.identity.status);
                    found.push(MadeDevice { hub, id: id.clone(), status });
                }
            }
        }
        Ok(found)
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
