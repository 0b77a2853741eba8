//! All state as rows that any backend writes and any backend reads: what an export holds.
//!
//! Tables come in an order in which they can be imported: twins before their relationships. Leases are not among them,
//! they belong to running nodes.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::configuration::Configuration;
use pollux_model::device::{Activity, Device};
use pollux_model::digital_twin::{DigitalTwin, PastVersion, Relationship, StoredModel};
use pollux_model::enrollment::{EnrollmentGroup, IndividualEnrollment};
use pollux_model::event::{Checkpoint, OutboxEntry};
use pollux_model::function::DeadLetter;
use pollux_model::job::Job;
use pollux_model::message::{MqttSession, QueuedMessage};
use pollux_model::registration::Registration;
use pollux_model::resource::Resource;
use pollux_model::scheduled_job::{DeviceJob, ScheduledJob};
use pollux_model::{DeviceAddress, OwnerName, ResourceName, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::batch::{Expect, Write};
use crate::document::decode;
use crate::error::StoreError;
use crate::functions::ConsumerKey;
use crate::secrets::Secret;
use crate::store::Page;

/// A table of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Resources of all kinds.
    Resources,
    /// Secrets of the deployment.
    Secrets,
    /// Devices of all hubs.
    Devices,
    /// Individual enrollments.
    Enrollments,
    /// Enrollment groups.
    EnrollmentGroups,
    /// Registration records.
    Registrations,
    /// DTDL models.
    Models,
    /// Digital twins.
    DigitalTwins,
    /// Relationships between them.
    Relationships,
    /// Where consumers stand.
    Checkpoints,
    /// Events that functions gave up on.
    DeadLetters,
    /// Events that are not in the event log yet.
    Outbox,
    /// Jobs of digital twins instances.
    Jobs,
    /// What twins and relationships were.
    TwinHistory,
    /// Messages in queues of hubs.
    QueuedMessages,
    /// What MQTT connections left.
    MqttSessions,
    /// Modules of devices.
    Modules,
    /// When devices and modules were last heard of.
    DeviceActivity,
    /// Configurations of hubs.
    Configurations,
    /// Scheduled jobs of hubs.
    ScheduledJobs,
    /// What became of them at each device.
    DeviceJobs,
}

impl Table {
    /// All, in an order in which they can be imported.
    pub const ALL: [Self; 21] = [
        Self::Resources,
        Self::Secrets,
        Self::Devices,
        Self::Enrollments,
        Self::EnrollmentGroups,
        Self::Registrations,
        Self::Models,
        Self::DigitalTwins,
        Self::Relationships,
        Self::Checkpoints,
        Self::DeadLetters,
        Self::Outbox,
        Self::Jobs,
        Self::TwinHistory,
        Self::QueuedMessages,
        Self::MqttSessions,
        Self::Modules,
        Self::DeviceActivity,
        Self::Configurations,
        Self::ScheduledJobs,
        Self::DeviceJobs,
    ];

    /// Its name, in backends too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Secrets => "secrets",
            Self::Devices => "devices",
            Self::Enrollments => "enrollments",
            Self::EnrollmentGroups => "enrollment_groups",
            Self::Registrations => "registrations",
            Self::Models => "models",
            Self::DigitalTwins => "digital_twins",
            Self::Relationships => "relationships",
            Self::TwinHistory => "twin_history",
            Self::Checkpoints => "checkpoints",
            Self::DeadLetters => "dead_letters",
            Self::Outbox => "outbox",
            Self::Jobs => "jobs",
            Self::QueuedMessages => "queued_messages",
            Self::MqttSessions => "mqtt_sessions",
            Self::Modules => "modules",
            Self::DeviceActivity => "device_activity",
            Self::Configurations => "configurations",
            Self::ScheduledJobs => "scheduled_jobs",
            Self::DeviceJobs => "device_jobs",
        }
    }
}

/// A row of an export. As JSON an object whose member `table` says what it is; bytes are base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each member is the instance's name or the model's type")]
pub enum Row {
    Resources {
        resource: Box<Resource>,
    },
    Secrets {
        secret: Box<Secret>,
    },
    Devices {
        hub: ResourceName,
        device: Box<Device>,
    },
    Enrollments {
        dps: ResourceName,
        enrollment: Box<IndividualEnrollment>,
    },
    EnrollmentGroups {
        dps: ResourceName,
        group: Box<EnrollmentGroup>,
    },
    Registrations {
        dps: ResourceName,
        registration: Box<Registration>,
    },
    Models {
        twins: ResourceName,
        model: Box<StoredModel>,
    },
    DigitalTwins {
        twins: ResourceName,
        twin: Box<DigitalTwin>,
    },
    Relationships {
        twins: ResourceName,
        relationship: Box<Relationship>,
    },
    TwinHistory {
        twins: ResourceName,
        version: Box<PastVersion>,
    },
    Checkpoints {
        namespace: OwnerName,
        event_hub: String,
        consumer_group: String,
        owner: String,
        partition: u32,
        checkpoint: Checkpoint,
    },
    /// The store that it is written to gives it an id of its own.
    DeadLetters {
        letter: Box<DeadLetter>,
        payload: Base64,
    },
    Outbox {
        namespace: OwnerName,
        event_hub: String,
        partition_key: String,
        idempotency_key: Base64,
        payload: Base64,
    },
    Jobs {
        twins: ResourceName,
        job: Box<Job>,
    },
    QueuedMessages {
        hub: ResourceName,
        message: Box<QueuedMessage>,
        payload: Base64,
    },
    MqttSessions {
        hub: ResourceName,
        session: Box<MqttSession>,
    },
    Modules {
        hub: ResourceName,
        module: Box<Device>,
    },
    DeviceActivity {
        hub: ResourceName,
        device: DeviceAddress,
        activity: Activity,
    },
    Configurations {
        hub: ResourceName,
        configuration: Box<Configuration>,
    },
    ScheduledJobs {
        hub: ResourceName,
        job: Box<ScheduledJob>,
    },
    DeviceJobs {
        hub: ResourceName,
        job: Box<DeviceJob>,
    },
}

/// Bytes, in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Row {
    /// The table it is of.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Resources { .. } => Table::Resources,
            Self::Secrets { .. } => Table::Secrets,
            Self::Devices { .. } => Table::Devices,
            Self::Enrollments { .. } => Table::Enrollments,
            Self::EnrollmentGroups { .. } => Table::EnrollmentGroups,
            Self::Registrations { .. } => Table::Registrations,
            Self::Models { .. } => Table::Models,
            Self::DigitalTwins { .. } => Table::DigitalTwins,
            Self::Relationships { .. } => Table::Relationships,
            Self::TwinHistory { .. } => Table::TwinHistory,
            Self::Checkpoints { .. } => Table::Checkpoints,
            Self::DeadLetters { .. } => Table::DeadLetters,
            Self::Outbox { .. } => Table::Outbox,
            Self::Jobs { .. } => Table::Jobs,
            Self::QueuedMessages { .. } => Table::QueuedMessages,
            Self::MqttSessions { .. } => Table::MqttSessions,
            Self::Modules { .. } => Table::Modules,
            Self::DeviceActivity { .. } => Table::DeviceActivity,
            Self::Configurations { .. } => Table::Configurations,
            Self::ScheduledJobs { .. } => Table::ScheduledJobs,
            Self::DeviceJobs { .. } => Table::DeviceJobs,
        }
    }

    /// Writes the row, whatever is there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an outbox entry's key does not have its 16 bytes.
    pub fn into_write(self) -> Result<Write, StoreError> {
        let expect = Expect::Any;
        Ok(match self {
            Self::Resources { resource } => Write::PutResource { resource, expect },
            Self::Secrets { secret } => Write::PutSecret { secret, expect },
            Self::Devices { hub, device } | Self::Modules { hub, module: device } => {
                Write::PutDevice { hub, device, identity: Expect::Any, twin: Expect::Any }
            }
            Self::Enrollments { dps, enrollment } => Write::PutEnrollment { dps, enrollment, expect },
            Self::EnrollmentGroups { dps, group } => Write::PutEnrollmentGroup { dps, group, expect },
            Self::Registrations { dps, registration } => Write::PutRegistration { dps, registration, expect },
            Self::Configurations { hub, configuration } => {
                Write::PutConfiguration { hub, configuration, expect }
            }
            Self::Jobs { twins, job } => Write::PutJob { twins, job, expect },
            Self::ScheduledJobs { hub, job } => Write::PutScheduledJob { hub, job, expect },
            Self::DeviceJobs { hub, job } => Write::PutDeviceJob { hub, job },
            Self::Models { twins, model } => Write::PutModel { twins, model, expect },
            Self::DigitalTwins { twins, twin } => Write::PutTwin { twins, twin, expect },
            Self::Relationships { twins, relationship } => {
                Write::PutRelationship { twins, relationship, expect }
            }
            Self::TwinHistory { twins, version } => Write::PutVersion { twins, version },
            Self::QueuedMessages { hub, message, payload } => {
                let message = Box::new(QueuedMessage { payload: payload.0, ..*message });
                Write::PutMessage { hub, message, expect }
            }
            Self::MqttSessions { hub, session } => Write::PutMqttSession { hub, session },
            Self::DeviceActivity { hub, device, activity } => Write::NoteActivity { hub, device, activity },
            Self::Checkpoints { namespace, event_hub, consumer_group, owner, partition, checkpoint } => {
                let key = ConsumerKey { owner, namespace, event_hub, consumer_group };
                Write::PutCheckpoint { key, partition, checkpoint }
            }
            Self::DeadLetters { letter, payload } => {
                Write::PutDeadLetter { letter: Box::new(DeadLetter { payload: payload.0, ..*letter }) }
            }
            Self::Outbox { namespace, event_hub, partition_key, idempotency_key, payload } => {
                let payload = payload.0;
                let idempotency_key = idempotency(&idempotency_key.0)?;
                let entry = OutboxEntry { namespace, event_hub, partition_key, idempotency_key, payload };
                Write::Outbox(Box::new(entry))
            }
        })
    }
}

fn idempotency(bytes: &[u8]) -> Result<[u8; 16], StoreError> {
    let other = |_| StoreError::Corrupt("an idempotency key has another length than 16".to_owned());
    bytes.try_into().map_err(other)
}

/// Reading everything, for an export.
#[async_trait]
pub trait Portable {
    /// Rows of all instances in a stable order of their keys, after `after`. Outbox entries of one partition key and
    /// dead letters come in the order they were written. Each page is of one moment, all of them are not: for that,
    /// nobody else must write.
    async fn rows(&self, table: Table, after: Option<&str>, limit: usize) -> Result<Page<Row>, StoreError>;
    /// How many rows there are.
    async fn count_rows(&self, table: Table) -> Result<u64, StoreError>;
}

/// What a backend selects of a table: the keys, by which it orders, and then the columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) keys: &'static [&'static str],
    pub(crate) columns: &'static [&'static str],
}

impl Shape {
    pub(crate) const fn of(table: Table) -> Self {
        let (keys, columns): (&[&str], &[&str]) = match table {
            Table::Resources => (&["kind", "name"], &["document"]),
            Table::Secrets => (&["scope", "id"], &["document"]),
            Table::Devices => (&["hub", "id"], &["identity", "twin"]),
            Table::Modules => (&["hub", "device", "id"], &["identity", "twin"]),
            Table::Enrollments | Table::EnrollmentGroups | Table::Registrations => {
                (&["dps", "id"], &["document"])
            }
            Table::Models | Table::DigitalTwins => (&["twins", "id"], &["document"]),
            Table::Relationships => (&["twins", "source", "id"], &["document"]),
            Table::TwinHistory => (&["twins", "twin", "relationship", "until", "etag"], &["document"]),
            Table::Jobs => (&["twins", "kind", "id"], &["document"]),
            Table::ScheduledJobs => (&["hub", "id"], &["document"]),
            Table::DeviceJobs => (&["hub", "job", "device"], &["document"]),
            Table::QueuedMessages => (&["hub", "queue", "sequence"], &["document", "payload"]),
            Table::MqttSessions => (&["hub", "device"], &["document"]),
            Table::DeviceActivity => (&["hub", "device", "module"], &["state_updated", "last"]),
            Table::Configurations => (&["hub", "id"], &["document"]),
            Table::Checkpoints => (
                &["namespace", "event_hub", "consumer_group", "owner", "partition"],
                &["sequence_number", "position"],
            ),
            Table::DeadLetters => (&["id"], &["document", "payload"]),
            Table::Outbox => {
                (&["id"], &["namespace", "event_hub", "partition_key", "idempotency_key", "payload"])
            }
        };
        Self { keys, columns }
    }

    /// A page's statement. Its parameters: the keys of the row before (where there is one), the number of rows.
    pub(crate) fn select(self, table: Table, after: bool) -> String {
        let keys = self.keys.join(", ");
        let places = (1..=self.keys.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
        let (behind, limit) = if after {
            (format!(" WHERE ({keys}) > ({places})"), self.keys.len() + 1)
        } else {
            (String::new(), 1)
        };
        let (columns, table) = (self.columns.join(", "), table.as_str());
        format!("SELECT {keys}, {columns} FROM {table}{behind} ORDER BY {keys} LIMIT ${limit}")
    }

    /// The keys a mark stands for.
    pub(crate) fn place(self, mark: &str) -> Result<Vec<Value>, StoreError> {
        let foreign = || StoreError::Corrupt("a page of rows is asked for with a foreign mark".to_owned());
        let keys: Vec<Value> = serde_json::from_str(mark).map_err(|_| foreign())?;
        let known = keys.iter().all(|key| key.is_string() || key.is_i64());
        if keys.len() == self.keys.len() && known { Ok(keys) } else { Err(foreign()) }
    }
}

/// A row as a backend selected it.
pub(crate) trait Cells {
    fn text(&self, at: usize) -> Result<String, StoreError>;
    fn number(&self, at: usize) -> Result<i64, StoreError>;
    fn bytes(&self, at: usize) -> Result<Vec<u8>, StoreError>;
    /// Text or number.
    fn key(&self, at: usize) -> Result<Value, StoreError>;
}

/// The mark of a row: its keys as a JSON array.
pub(crate) fn mark(cells: &dyn Cells, shape: Shape) -> Result<String, StoreError> {
    let keys = (0..shape.keys.len()).map(|at| cells.key(at)).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::Array(keys).to_string())
}

/// The row in the cells.
pub(crate) fn read(table: Table, shape: Shape, cells: &dyn Cells) -> Result<Row, StoreError> {
    let first = shape.keys.len();
    let instance =
        |at| ResourceName::parse(&cells.text(at)?).map_err(|error| StoreError::Corrupt(error.message));
    let owner = |at| OwnerName::parse(&cells.text(at)?).map_err(|error| StoreError::Corrupt(error.message));
    let document = || cells.text(first);
    let name = table.as_str();
    let device = |module: Option<&str>| -> Result<_, StoreError> {
        let address = DeviceAddress::of(&cells.text(1)?, module);
        let DeviceAddress { device: id, module } =
            address.map_err(|error| StoreError::Corrupt(error.message))?;
        let twin = decode(name, &cells.text(first + 1)?)?;
        Ok(Box::new(Device { id, module, identity: decode(name, &document()?)?, twin }))
    };
    Ok(match table {
        Table::Resources => Row::Resources { resource: decode(name, &document()?)? },
        Table::Secrets => Row::Secrets { secret: decode(name, &document()?)? },
        Table::Devices => Row::Devices { hub: instance(0)?, device: device(None)? },
        Table::Modules => Row::Modules { hub: instance(0)?, module: device(Some(&cells.text(2)?))? },
        Table::Enrollments => Row::Enrollments { dps: instance(0)?, enrollment: decode(name, &document()?)? },
        Table::EnrollmentGroups => {
            Row::EnrollmentGroups { dps: instance(0)?, group: decode(name, &document()?)? }
        }
        Table::Registrations => {
            Row::Registrations { dps: instance(0)?, registration: decode(name, &document()?)? }
        }
        Table::Configurations => {
            Row::Configurations { hub: instance(0)?, configuration: decode(name, &document()?)? }
        }
        Table::Models => Row::Models { twins: instance(0)?, model: decode(name, &document()?)? },
        Table::DigitalTwins => Row::DigitalTwins { twins: instance(0)?, twin: decode(name, &document()?)? },
        Table::Relationships => {
            Row::Relationships { twins: instance(0)?, relationship: decode(name, &document()?)? }
        }
        Table::TwinHistory => Row::TwinHistory { twins: instance(0)?, version: decode(name, &document()?)? },
        Table::Jobs => Row::Jobs { twins: instance(0)?, job: decode(name, &document()?)? },
        Table::ScheduledJobs => Row::ScheduledJobs { hub: instance(0)?, job: decode(name, &document()?)? },
        Table::DeviceJobs => Row::DeviceJobs { hub: instance(0)?, job: decode(name, &document()?)? },
        Table::QueuedMessages => {
            let mut message: Box<QueuedMessage> = decode(name, &document()?)?;
            message.sequence = cells.number(first - 1)?;
            Row::QueuedMessages { hub: instance(0)?, message, payload: Base64(cells.bytes(first + 1)?) }
        }
        Table::MqttSessions => Row::MqttSessions { hub: instance(0)?, session: decode(name, &document()?)? },
        Table::DeviceActivity => {
            let module = Some(cells.text(2)?).filter(|module| !module.is_empty());
            let device = DeviceAddress::of(&cells.text(1)?, module.as_deref());
            let time = |at| Ok::<_, StoreError>(Timestamp::from_micros(cells.number(at)?));
            Row::DeviceActivity {
                hub: instance(0)?,
                device: device.map_err(|error| StoreError::Corrupt(error.message))?,
                activity: Activity { state_updated: time(first)?, last: time(first + 1)? },
            }
        }
        Table::Checkpoints => Row::Checkpoints {
            namespace: owner(0)?,
            event_hub: cells.text(1)?,
            consumer_group: cells.text(2)?,
            owner: cells.text(3)?,
            partition: u32::try_from(cells.number(4)?)
                .map_err(|_| StoreError::Corrupt("a partition's number is out of range".to_owned()))?,
            checkpoint: Checkpoint {
                sequence_number: cells.number(first)?,
                offset: cells.number(first + 1)?,
            },
        },
        Table::DeadLetters => {
            let mut letter: Box<DeadLetter> = decode(name, &document()?)?;
            letter.id = cells.number(first - 1)?;
            Row::DeadLetters { letter, payload: Base64(cells.bytes(first + 1)?) }
        }
        Table::Outbox => Row::Outbox {
            namespace: owner(first)?,
            event_hub: cells.text(first + 1)?,
            partition_key: cells.text(first + 2)?,
            idempotency_key: Base64(cells.bytes(first + 3)?),
            payload: Base64(cells.bytes(first + 4)?),
        },
    })
}
