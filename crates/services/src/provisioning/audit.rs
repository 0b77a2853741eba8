//! The audit record: who was let in or refused, by which entry, from where; who changed which entry.
//!
//! ```text
//!   a change ──▶ its batch + an outbox row ──▶ relay ──▶ stream `<dps>.dps/audit` ──▶ read from here
//!   a refusal ───────── bounded by address ─────────────▶
//! ```
//!
//! A change and its record commit together, as any event does. A refusal changes nothing: its record is appended at once,
//! so many a minute of one address, and what is left out is counted in the next. Records hold no keys, tokens or
//! certificates. How long they are kept, and how many bytes of them, `streams` says. Being events, they can be read a
//! moment after what they tell of.

use std::net::IpAddr;

use pollux_eventlog::{NewRecord, PartitionInfo, ReadFrom, ReadLimit, Record};
use pollux_model::event::OutboxEntry;
use pollux_model::registration::{Failure, IssuedCertificate, Registration};
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, OwnerName, RegistrationId, Result, Timestamp};
use pollux_store::Write;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Provisioning;
use super::attest::decision::Entry;
use crate::caller::{Caller, Identity, Right};
use crate::streams::{self, AUDIT};

mod bound;

pub(super) use bound::Bound;

/// Records read from the log at once.
const CHUNK: usize = 500;
/// Characters of a note.
const DETAIL: usize = 512;
/// Records that one question may look at.
const SCAN: i64 = 5_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditAction {
    /// A device was let in, and its registration began.
    Admitted,
    /// A device was refused.
    Refused,
    /// A registration failed.
    RegistrationFailed,
    /// The device of a registration is another one's now, whose entry gives it the same id.
    Displaced,
    /// An individual enrollment was made.
    EnrollmentCreated,
    /// An individual enrollment was changed.
    EnrollmentUpdated,
    /// An individual enrollment was deleted.
    EnrollmentDeleted,
    /// An enrollment group was made.
    EnrollmentGroupCreated,
    /// An enrollment group was changed.
    EnrollmentGroupUpdated,
    /// An enrollment group was deleted.
    EnrollmentGroupDeleted,
    /// A registration record was deleted.
    RegistrationDeleted,
    /// A device was issued a certificate that it asked for.
    CertificateIssued,
    /// A certificate that was issued to a device holds no more.
    CertificateRevoked,
    /// A device, or a group's, was deprovisioned: an operator's tool says so when it is done.
    Deprovisioned,
}

/// Which entry decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decider {
    /// The device's own.
    IndividualEnrollment(String),
    /// A group's.
    EnrollmentGroup(String),
}

impl From<&Entry> for Decider {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Individual(id) => Self::IndividualEnrollment(id.to_string()),
            Entry::Group(id) => Self::EnrollmentGroup(id.clone()),
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: AuditAction,
    /// Of which device, or which individual enrollment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// Of which group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment_group_id: Option<String>,
    /// The entry that let it in or refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Decider>,
    /// Who did it.
    pub who: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Why, or what of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Refusals of this address that were left out before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
}

impl AuditRecord {
    fn new(time: Timestamp, action: AuditAction, caller: &Caller) -> Self {
        Self {
            time,
            action,
            registration_id: None,
            enrollment_group_id: None,
            decided_by: None,
            who: who(&caller.identity),
            address: caller.address,
            detail: None,
            left_out: None,
        }
    }

    pub(super) fn of_registration(mut self, id: impl ToString) -> Self {
        self.registration_id = Some(id.to_string());
        self
    }

    pub(super) fn of_group(mut self, id: &str) -> Self {
        self.enrollment_group_id = Some(id.to_owned());
        self
    }

    pub(super) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn decided(mut self, by: Option<&Entry>) -> Self {
        self.decided_by = by.map(Decider::from);
        self
    }

    /// Records of one subject keep their order.
    fn subject(&self) -> String {
        let subject = self.registration_id.as_ref().or(self.enrollment_group_id.as_ref());
        subject.cloned().unwrap_or_default()
    }
}

/// Who a caller is, in words.
fn who(identity: &Identity) -> String {
    match identity {
        Identity::Policy { policy, .. } => format!("policy {policy}"),
        Identity::Device { id, .. } => format!("{} {id}", id.noun()),
        Identity::Registration { displayed, .. } => format!("device {displayed}"),
        Identity::Principal { subject, .. } => format!("principal {subject}"),
        Identity::FunctionKey { app } | Identity::Function { app } => format!("function app {app}"),
        Identity::Admin => "operator".to_owned(),
    }
}

/// Which records are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only of this device.
    pub registration_id: Option<String>,
    /// Only of this group.
    pub enrollment_group_id: Option<String>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// Only those behind this number; see [`AuditPage::next`].
    pub after: Option<i64>,
}

impl AuditQuery {
    fn wants(&self, record: &AuditRecord) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| found.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        same(&self.registration_id, &record.registration_id)
            && same(&self.enrollment_group_id, &record.enrollment_group_id)
            && self.since.is_none_or(|since| record.time >= since)
    }
}

/// Records, the oldest first.
#[derive(Debug)]
pub struct AuditPage {
    /// Each with its number.
    pub records: Vec<(i64, AuditRecord)>,
    /// Where to go on; what comes later is behind it.
    pub next: i64,
    /// Whether there is more by now.
    pub more: bool,
}

impl Provisioning {
    /// A record of what this caller does now.
    pub(super) fn audited(&self, caller: &Caller, action: AuditAction) -> AuditRecord {
        AuditRecord::new(self.context.clock.now(), action, caller)
    }

    /// A record of a registration that failed.
    pub(super) fn failure_record(&self, record: &Registration, failure: &Failure) -> AuditRecord {
        let detail = format!("{}: {}", failure.code, failure.message);
        self.of_device(record, AuditAction::RegistrationFailed, detail)
    }

    /// A record of a registration whose device is another one's now.
    pub(super) fn displaced_record(&self, record: &Registration, why: &str) -> AuditRecord {
        self.of_device(record, AuditAction::Displaced, why.to_owned())
    }

    /// A record of a certificate that was made for a device.
    pub(super) fn issue_record(&self, record: &Registration, issued: &IssuedCertificate) -> AuditRecord {
        let detail = format!("serial number {}, until {}", issued.serial_number, issued.not_after);
        self.of_device(record, AuditAction::CertificateIssued, detail)
    }

    fn of_device(&self, record: &Registration, action: AuditAction, detail: String) -> AuditRecord {
        let by = match &record.group {
            Some(group) => Decider::EnrollmentGroup(group.clone()),
            None => Decider::IndividualEnrollment(record.registration_id.to_string()),
        };
        AuditRecord {
            time: self.context.clock.now(),
            action,
            registration_id: Some(record.registration_id.to_string()),
            enrollment_group_id: None,
            decided_by: Some(by),
            who: format!("device {}", record.displayed_id),
            address: None,
            detail: Some(detail),
            left_out: None,
        }
    }

    /// The record as a part of a batch.
    pub(super) fn audit(&self, dps: &Resource, record: &AuditRecord) -> Write {
        Write::Outbox(Box::new(OutboxEntry {
            namespace: OwnerName::of_dps(&dps.name),
            event_hub: AUDIT.to_owned(),
            partition_key: record.subject(),
            idempotency_key: *self.context.random.uuid().as_bytes(),
            payload: json!(record).to_string().into_bytes(),
        }))
    }

    /// Keeps the record of a refusal, unless the address has had its share.
    pub(super) async fn audit_refusal(
        &self,
        dps: &Resource,
        id: &RegistrationId,
        address: Option<IpAddr>,
        (by, why): (Option<&Entry>, &str),
    ) {
        let now = self.context.clock.now();
        let most = self.context.limits.audited_refusals_a_minute;
        let Some(left_out) = self.refusals.lock().admits(address, now, most) else { return };
        let record = AuditRecord {
            time: now,
            action: AuditAction::Refused,
            registration_id: Some(id.to_string()),
            enrollment_group_id: None,
            decided_by: by.map(Decider::from),
            who: format!("device {id}"),
            address,
            detail: Some(why.chars().take(DETAIL).collect()),
            left_out: Some(left_out).filter(|count| *count > 0),
        };
        let new = NewRecord {
            partition_key: Some(record.subject().into()),
            payload: json!(record).to_string().into_bytes().into(),
            idempotency_key: None,
        };
        let appended = match streams::name(&OwnerName::of_dps(&dps.name), AUDIT) {
            Ok(stream) => {
                let appended = self.context.log.append(&stream, 0, vec![new]).await;
                appended.map(|_| ()).map_err(|error| Error::new(ErrorCode::Unavailable, error.to_string()))
            }
            Err(error) => Err(error),
        };
        // The device is refused all the same.
        if let Err(error) = appended {
            tracing::warn!(dps = %dps.name, %error, "a refusal is not in the audit record");
        }
    }

    /// Keeps a note of an operator's tool: what it has deprovisioned.
    pub async fn note_deprovisioned(
        &self,
        caller: &Caller,
        dps: &Resource,
        (registration_id, group): (Option<&str>, Option<&str>),
        detail: &str,
    ) -> Result<()> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        let detail: String = detail.chars().take(DETAIL).collect();
        let mut record = self.audited(caller, AuditAction::Deprovisioned).because(detail);
        match (registration_id, group) {
            (Some(id), _) => record = record.of_registration(RegistrationId::parse(id)?),
            (None, Some(group)) => record = record.of_group(group),
            (None, None) => return Err(Error::invalid("name registrationId or enrollmentGroupId")),
        }
        Ok(self.context.store.commit(self.audit(dps, &record).into()).await?)
    }

    /// Records in order. Without a beginning: the newest, or all of the device or group that is asked for. Looks at no more than some thousand records at once.
    pub async fn audit_records(
        &self,
        caller: &Caller,
        dps: &Resource,
        query: &AuditQuery,
        limit: usize,
    ) -> Result<AuditPage> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentRead))?;
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::RegistrationStatusRead))?;
        let failed = |error: pollux_eventlog::LogError| {
            tracing::warn!(dps = %dps.name, %error, "the audit record cannot be read");
            Error::new(ErrorCode::Unavailable, "the event log is unavailable; try again")
        };
        let (stream, log) = (streams::name(&OwnerName::of_dps(&dps.name), AUDIT)?, &self.context.log);
        let found = log.partition(&stream, 0).await.map_err(failed)?;
        let (mut at, newest) = (beginning(query, &found), found.last_sequence_number);
        let mut page = AuditPage { records: Vec::new(), next: at, more: false };
        let mut from = match (query.after, query.since) {
            (None, Some(after)) => {
                ReadFrom::Enqueued { after: after.minus(std::time::Duration::from_secs(1)) }
            }
            _ => ReadFrom::Sequence { number: at, inclusive: false },
        };
        let mut looked_at = 0;
        while looked_at < SCAN && page.records.len() < limit {
            let max = ReadLimit { records: CHUNK, bytes: 1 << 20 };
            let chunk = log.read(&stream, 0, &from, max).await.map_err(failed)?;
            if chunk.is_empty() {
                page.next = page.next.max(newest);
                return Ok(page);
            }
            for record in chunk {
                (at, looked_at) = (record.sequence_number, looked_at + 1);
                page.records.extend(read(&record).filter(|read| query.wants(read)).map(|read| (at, read)));
                if page.records.len() == limit {
                    break;
                }
            }
            page.next = at;
            from = ReadFrom::Sequence { number: at, inclusive: false };
        }
        page.more = at < newest;
        Ok(page)
    }
}

/// The number behind which to begin.
fn beginning(query: &AuditQuery, found: &PartitionInfo) -> i64 {
    let oldest = found.begin_sequence_number - 1;
    let newest = found.last_sequence_number - SCAN;
    let of_one = query.registration_id.is_some() || query.enrollment_group_id.is_some();
    query.after.unwrap_or(if of_one { oldest } else { oldest.max(newest) })
}

/// What an older or newer version wrote, and this one does not understand, is passed over.
fn read(record: &Record) -> Option<AuditRecord> {
    serde_json::from_slice(&record.payload)
        .inspect_err(|error| tracing::warn!(%error, "an audit record is not understood"))
        .ok()
}
