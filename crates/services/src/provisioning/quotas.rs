//! How much a provisioning service holds, beside how much it may (Azure article "What is DPS?", "Quotas and limits").
//!
//! What there is can always be asked for. The quotas bind where `limits.provisioning_quotas` is on; groups and certificates
//! of authorities are bounded in any case, because who a device is may have to be tried with each of them. Counting a
//! million rows takes a while, so a count is used again for some seconds: a quota may be passed by as many devices as
//! register meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use pollux_model::enrollment::Attestation;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, RegistrationId, ResourceName, Result, Timestamp};

use super::Provisioning;
use crate::caller::{Caller, Right};
use crate::rates::{Buckets, Rate};

/// How long a count is used again.
const FRESH: Duration = Duration::from_secs(10);

/// What a provisioning service holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Registration records, those of deleted groups included.
    pub registrations: u64,
    /// Individual enrollments.
    pub enrollments: u64,
    /// Enrollment groups that admit by certificate.
    pub x509_groups: u64,
    /// Enrollment groups that admit by derived key.
    pub symmetric_key_groups: u64,
    /// Certificates of authorities.
    pub ca_certificates: u64,
    /// Linked hubs.
    pub linked_hubs: u64,
}

/// What is counted in memory.
#[derive(Debug, Default)]
pub(super) struct Counted {
    rows: HashMap<(ResourceName, Rows), (Timestamp, u64)>,
    polls: Buckets<(ResourceName, RegistrationId)>,
}

/// What is counted in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rows {
    Registrations,
    Enrollments,
}

/// Whether it admits by certificate: of such groups, and of others, there may be so many each.
pub(super) const fn is_x509(attestation: &Attestation) -> bool {
    matches!(attestation, Attestation::X509 { .. })
}

impl Provisioning {
    /// What there is now.
    pub async fn stats(&self, caller: &Caller, dps: &Resource) -> Result<Stats> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentRead))?;
        let (store, properties) = (&self.context.store, Self::dps(dps)?);
        let mut stats = Stats {
            registrations: store.count_registrations(&dps.name).await?,
            enrollments: store.count_enrollments(&dps.name).await?,
            ca_certificates: properties.certificates.len() as u64,
            linked_hubs: properties.linked_hubs.len() as u64,
            ..Stats::default()
        };
        for group in self.groups.all(&dps.name).await?.iter() {
            match is_x509(&group.attestation) {
                true => stats.x509_groups += 1,
                false => stats.symmetric_key_groups += 1,
            }
        }
        Ok(stats)
    }

    /// [`ErrorCode::QuotaExceeded`] where one row more would be too many.
    pub(super) async fn check_quota(&self, dps: &ResourceName, rows: Rows) -> Result<()> {
        let limits = &self.context.limits;
        if !limits.provisioning_quotas {
            return Ok(());
        }
        let (most, noun) = match rows {
            Rows::Registrations => (limits.registrations, "registration records"),
            Rows::Enrollments => (limits.individual_enrollments, "individual enrollments"),
        };
        let (now, key) = (self.context.clock.now(), (dps.clone(), rows));
        let known = self.counted.lock().rows.get(&key).copied();
        let known = known.filter(|(at, count)| now.since(*at) < FRESH && *count < most);
        let (at, count) = match known {
            Some(known) => known,
            None => match rows {
                Rows::Registrations => (now, self.context.store.count_registrations(dps).await?),
                Rows::Enrollments => (now, self.context.store.count_enrollments(dps).await?),
            },
        };
        self.counted.lock().rows.insert(key, (at, count + 1));
        if count < most {
            return Ok(());
        }
        let message = format!("'{dps}' has {count} {noun}, which is the limit: delete some first");
        Err(Error::new(ErrorCode::QuotaExceeded, message))
    }

    /// [`ErrorCode::Throttled`] where a device asks too often what became of its registration.
    pub(super) fn check_polls(&self, dps: &ResourceName, id: &RegistrationId) -> Result<()> {
        let limits = &self.context.limits;
        if !limits.provisioning_quotas {
            return Ok(());
        }
        let window = Duration::from_secs(limits.registration_poll_seconds);
        let rate = Rate::of(limits.registration_polls, window);
        let key = (dps.clone(), id.clone());
        if self.counted.lock().polls.try_take(key, rate, 1.0, self.context.clock.now()).is_ok() {
            return Ok(());
        }
        let most = limits.registration_polls;
        let message = format!("a device may ask {most} times in {} seconds: wait", window.as_secs());
        Err(Error::new(ErrorCode::Throttled, message))
    }
}
