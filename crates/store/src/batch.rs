//! A batch of writes that is applied whole or not at all.

use pollux_model::configuration::Configuration;
use pollux_model::device::{Activity, Device};
use pollux_model::digital_twin::{DigitalTwin, PastVersion, Relationship, StoredModel};
use pollux_model::enrollment::{EnrollmentGroup, IndividualEnrollment};
use pollux_model::event::{Checkpoint, OutboxEntry};
use pollux_model::function::DeadLetter;
use pollux_model::job::{Job, JobKind};
use pollux_model::message::{MessageQueue, MqttSession, QueuedMessage};
use pollux_model::registration::Registration;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::{DeviceJob, ScheduledJob};
use pollux_model::{DeviceAddress, DeviceId, Etag, OwnerName, RegistrationId, ResourceName, Timestamp};

use crate::error::Mismatch;
use crate::functions::ConsumerKey;
use crate::leases::Lease;
use crate::secrets::Secret;

/// What must be true of a row for a write to it to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
    /// It exists with this etag. Models and dead letters have none: this never holds for them.
    Etag(Etag),
}

impl Expect {
    /// Compares what is there (`None`: no row; `Some(None)`: a row without etag) with what was expected.
    pub(crate) fn compare(&self, found: Option<Option<&str>>) -> Result<(), Mismatch> {
        match (self, found) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(_)) => Err(Mismatch::Exists),
            (Self::Present | Self::Etag(_), None) => Err(Mismatch::Absent),
            (Self::Etag(etag), Some(found)) if found == Some(etag.as_str()) => Ok(()),
            (Self::Etag(_), Some(_)) => Err(Mismatch::OtherEtag),
        }
    }
}

/// Writes that are applied whole or not at all, in order: a later write sees the earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// In order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { writes: Vec::new() }
    }

    /// Adds a write.
    #[must_use]
    pub fn with(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }
}

impl From<Write> for Batch {
    fn from(write: Write) -> Self {
        Self { writes: vec![write] }
    }
}

/// One write. `Put` replaces the whole row; the row's own etag field is the new etag. A `Delete` of what is not there,
/// expecting nothing of it, does nothing.
#[derive(Debug, Clone)]
pub enum Write {
    /// A resource.
    PutResource { resource: Box<Resource>, expect: Expect },
    /// Removes a resource **and every row of its instance** in every table: of a DPS its enrollments, groups and
    /// registration records; of a hub its devices and their modules, messages, sessions, configurations and jobs; of a digital twins instance its models, twins,
    /// relationships, their past and jobs; of an event hubs namespace the checkpoints in it; of a function app its dead letters and the checkpoints whose
    /// owner begins with `functions/<app>/`. Outbox entries stay. With [`Expect::Any`] the rows go even if the resource
    /// is not there.
    DeleteResource { kind: ResourceKind, name: ResourceName, expect: Expect },

    /// A device, or a module of a device: identity and twin. `identity` and `twin` expectations are checked against the
    /// two etags separately; `Absent` / `Present` mean the device itself. A module's device must exist (checked after
    /// the expectations).
    PutDevice { hub: ResourceName, device: Box<Device>, identity: Expect, twin: Expect },
    /// Removes a device that has no modules (checked after the expectation) with its messages and its session, or a module;
    /// `identity` is checked against the identity's etag.
    DeleteDevice { hub: ResourceName, id: DeviceAddress, identity: Expect },
    /// A configuration.
    PutConfiguration { hub: ResourceName, configuration: Box<Configuration>, expect: Expect },
    /// Removes a configuration.
    DeleteConfiguration { hub: ResourceName, id: String, expect: Expect },
    /// Checks that a device is not there, writes nothing.
    RequireNoDevice { hub: ResourceName, id: DeviceId },

    /// Adds a message at the end of a device's queue, which has `most` of them at most. Its sequence is that of the message
    /// given, or the one behind the last that waits where that is greater. Refused where there is no such device
    /// ([`Mismatch::Absent`]) or no room ([`Mismatch::QueueFull`]).
    EnqueueMessage { hub: ResourceName, message: Box<QueuedMessage>, most: u32 },
    /// A message at its place. Where one must be there already, its payload stays: what changes is its state.
    PutMessage { hub: ResourceName, message: Box<QueuedMessage>, expect: Expect },
    /// Removes a message.
    DeleteMessage { hub: ResourceName, queue: MessageQueue, sequence: i64, expect: Expect },
    /// What the MQTT connection of a device, or of a module, leaves to the next one. Refused where there is no such device
    /// ([`Mismatch::Absent`]).
    PutMqttSession { hub: ResourceName, session: Box<MqttSession> },
    /// Forgets it.
    DeleteMqttSession { hub: ResourceName, device: String },

    /// When a device or module was heard of: each time is kept where it is later than what is known. Does nothing where there is
    /// no such device or module.
    NoteActivity { hub: ResourceName, device: DeviceAddress, activity: Activity },

    /// An individual enrollment.
    PutEnrollment { dps: ResourceName, enrollment: Box<IndividualEnrollment>, expect: Expect },
    /// Removes an individual enrollment.
    DeleteEnrollment { dps: ResourceName, id: RegistrationId, expect: Expect },
    /// An enrollment group. Ids compare in lower case.
    PutEnrollmentGroup { dps: ResourceName, group: Box<EnrollmentGroup>, expect: Expect },
    /// Removes an enrollment group; its registration records stay.
    DeleteEnrollmentGroup { dps: ResourceName, id: String, expect: Expect },
    /// A registration record.
    PutRegistration { dps: ResourceName, registration: Box<Registration>, expect: Expect },
    /// Removes a registration record.
    DeleteRegistration { dps: ResourceName, id: RegistrationId, expect: Expect },

    /// A model; models are immutable but for `decommissioned`.
    PutModel { twins: ResourceName, model: Box<StoredModel>, expect: Expect },
    /// Removes a model.
    DeleteModel { twins: ResourceName, id: String, expect: Expect },
    /// A twin.
    PutTwin { twins: ResourceName, twin: Box<DigitalTwin>, expect: Expect },
    /// Removes a twin that has no relationships, neither outgoing nor incoming (checked after the expectation).
    DeleteTwin { twins: ResourceName, id: String, expect: Expect },
    /// A relationship; source and target must exist (checked after the expectation, in this order).
    PutRelationship { twins: ResourceName, relationship: Box<Relationship>, expect: Expect },
    /// Removes a relationship.
    DeleteRelationship { twins: ResourceName, source: String, id: String, expect: Expect },

    /// What a twin or a relationship was until now.
    PutVersion { twins: ResourceName, version: Box<PastVersion> },
    /// Removes versions that ended before that moment, the oldest first, `most` of them at most.
    ForgetVersions { twins: ResourceName, before: Timestamp, most: u32 },
    /// A job of a digital twins instance.
    PutJob { twins: ResourceName, job: Box<Job>, expect: Expect },
    /// Removes a job.
    DeleteJob { twins: ResourceName, kind: JobKind, id: String, expect: Expect },

    /// A scheduled job of a hub.
    PutScheduledJob { hub: ResourceName, job: Box<ScheduledJob>, expect: Expect },
    /// Removes a scheduled job and what became of it at each device.
    DeleteScheduledJob { hub: ResourceName, id: String, expect: Expect },
    /// A scheduled job at one device. It may be gone.
    PutDeviceJob { hub: ResourceName, job: Box<DeviceJob> },
    /// Removes what became of a scheduled job at devices, in order of address, `most` of them at most.
    ForgetDeviceJobs { hub: ResourceName, job: String, most: u32 },

    /// Where a consumer stands.
    PutCheckpoint { key: ConsumerKey, partition: u32, checkpoint: Checkpoint },
    /// Removes the checkpoints in an event hub, those of one consumer group or all: it was deleted, and one of the same
    /// name starts from its beginning.
    DeleteCheckpoints { namespace: OwnerName, event_hub: String, consumer_group: Option<String> },
    /// A dead letter; its id is given by the store (the field is ignored). One per (app, function, namespace,
    /// event hub, partition, sequence number): a second put of the same event replaces the first.
    PutDeadLetter { letter: Box<DeadLetter> },
    /// Removes the app's dead letters whose id lies `newest` or more behind the newest: what bounds their number.
    KeepDeadLetters { app: OwnerName, newest: u32 },
    /// Removes a dead letter.
    DeleteDeadLetter { app: OwnerName, id: i64, expect: Expect },

    /// A named secret of the deployment (issuer keys, clients).
    PutSecret { secret: Box<Secret>, expect: Expect },
    /// Removes a secret.
    DeleteSecret { scope: String, id: String, expect: Expect },

    /// Holds the batch to a lease, writes nothing: refused unless the lease is still `owner`'s in this epoch. Whether
    /// its time has run out is not asked: while nobody else took it, it is the owner's.
    RequireLease { owner: String, lease: Lease },

    /// An event that tells of this batch.
    Outbox(Box<OutboxEntry>),
}
