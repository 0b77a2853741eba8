//! A batch as the statements that check and apply it, each with what its answer must be.

use std::sync::LazyLock;

use pollux_model::device::{Device, Status};
use pollux_model::digital_twin::Past;
use pollux_model::job::JobKind;
use pollux_model::{DeviceAddress, ResourceName};
use tokio_postgres::types::ToSql;

use super::noun::Noun;
use super::text::text;
use super::{activity, outbox, plan_messages, plan_resources, runs, scheduled_jobs};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::keys::folded;
use crate::leases::Lease;
use crate::prepared::{Documents, Prepared};

/// A parameter of a statement.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// A statement.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    pub(super) params: Vec<Param<'a>>,
}

/// A statement of a batch.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Of the write it belongs to.
    pub(super) index: usize,
    pub(super) statement: Statement<'a>,
    pub(super) wants: Wants<'a>,
}

/// What the statement must meet.
#[derive(Debug)]
pub(super) enum Wants<'a> {
    /// Anything.
    Anything,
    /// No row; otherwise this is what was found.
    NoRow(Mismatch),
    /// A row; otherwise this is what was found.
    Row(Mismatch),
    /// So many rows; otherwise the writes of the batch have to be asked one by one.
    Rows(u64),
    /// A row; otherwise the row's etags tell what was found.
    Etags(Ask<'a>),
}

/// Reads a row's etags and compares them with what was expected of each.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) found: Statement<'a>,
    pub(super) expects: Vec<&'a Expect>,
}

/// A whole batch.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// From here on nothing touches rows that expectations look at.
    pub(super) outbox_from: usize,
    /// It removes a whole instance, which takes as long as it takes.
    pub(super) long: bool,
}

macro_rules! noun {
    ($name:ident, $table:literal, $keys:expr, $columns:expr, $etags:expr) => {
        static $name: LazyLock<Noun> = LazyLock::new(|| Noun::new($table, &$keys, &$columns, &$etags));
    };
}

noun!(RESOURCES, "resources", ["kind", "name"], ["etag", "document"], ["etag"]);
noun!(
    DEVICES,
    "devices",
    ["hub", "id"],
    ["identity_etag", "twin_etag", "enabled", "identity", "twin"],
    ["identity_etag", "twin_etag"]
);
noun!(
    MODULES,
    "modules",
    ["hub", "device", "id"],
    ["identity_etag", "twin_etag", "identity", "twin"],
    ["identity_etag", "twin_etag"]
);
noun!(ENROLLMENTS, "enrollments", ["dps", "id"], ["etag", "document"], ["etag"]);
noun!(GROUPS, "enrollment_groups", ["dps", "id"], ["etag", "document"], ["etag"]);
noun!(
    REGISTRATIONS,
    "registrations",
    ["dps", "id"],
    ["enrollment_group", "status", "etag", "document"],
    ["etag"]
);
noun!(MODELS, "models", ["twins", "id"], ["document"], []);
noun!(TWINS, "digital_twins", ["twins", "id"], ["model", "etag", "document"], ["etag"]);
noun!(
    RELATIONSHIPS,
    "relationships",
    ["twins", "source", "id"],
    ["target", "name", "etag", "document"],
    ["etag"]
);
noun!(
    HISTORY,
    "twin_history",
    ["twins", "twin", "relationship", "until", "etag"],
    ["since", "target", "document"],
    []
);
noun!(
    CHECKPOINTS,
    "checkpoints",
    ["namespace", "event_hub", "consumer_group", "owner", "partition"],
    ["sequence_number", "position"],
    []
);
noun!(
    DEAD_LETTERS,
    "dead_letters",
    ["app", "function", "namespace", "event_hub", "partition", "sequence_number"],
    ["document", "payload"],
    []
);
noun!(DEAD_LETTER_IDS, "dead_letters", ["app", "id"], ["document"], []);
noun!(CONFIGURATIONS, "configurations", ["hub", "id"], ["etag", "document"], ["etag"]);
noun!(JOBS, "jobs", ["twins", "kind", "id"], ["etag", "document"], ["etag"]);
noun!(SECRETS, "secrets", ["scope", "id"], ["etag", "document"], ["etag"]);

/// What always refuses: its row never comes.
const FORGET_VERSIONS: &str = "DELETE FROM twin_history WHERE (twins, twin, relationship, until, etag) IN (
    SELECT twins, twin, relationship, until, etag FROM twin_history WHERE twins = $1 AND until < $2
    ORDER BY until LIMIT $3)";
const NEVER: &str = "SELECT 1 WHERE false";
const TWIN_STAYS: &str = "SELECT 1 FROM digital_twins WHERE twins = $1 AND id = $2 FOR KEY SHARE";
const DEVICE_STAYS: &str = "SELECT 1 FROM devices WHERE hub = $1 AND id = $2 FOR KEY SHARE";
const MODULES_OF: &str = "SELECT 1 FROM modules WHERE hub = $1 AND device = $2 LIMIT 1";
const RELATIONSHIPS_OF: &str = "(SELECT 1 FROM relationships WHERE twins = $1 AND source = $2 LIMIT 1)
    UNION ALL (SELECT 1 FROM relationships WHERE twins = $1 AND target = $2 LIMIT 1)";
/// Waits for whoever is taking the lease, and makes takers wait until this batch is committed.
const LEASE_STAYS: &str = "SELECT 1 FROM leases WHERE name = $1 AND owner = $2 AND epoch = $3 FOR SHARE";

/// Text as a parameter.
pub(super) fn word<'a>(plain: &'a str) -> Param<'a> {
    Box::new(text(plain))
}

/// A parameter that can hold no character that would have to be told apart: numbers, documents.
pub(super) fn value<'a>(value: impl ToSql + Sync + Send + 'a) -> Param<'a> {
    Box::new(value)
}

impl<'a> Plan<'a> {
    /// `runs`: many new twins or relationships in a row go in a few statements, which do not say which of them was
    /// refused.
    pub(super) fn new(batch: &'a Prepared, runs: bool) -> Self {
        let mut covered = 0;
        let mut plan = Self { steps: Vec::new(), outbox_from: 0, long: false };
        let mut told = Vec::new();
        for (index, (write, documents)) in batch.writes.iter().enumerate() {
            if let Write::Outbox(entry) = write {
                told.push(&**entry);
            } else if index >= covered {
                if let Some(end) = runs.then(|| runs::add(&mut plan, batch, index)).flatten() {
                    covered = end;
                    continue;
                }
                plan.long |= matches!(write, Write::DeleteResource { .. });
                let mut steps = Steps { index, plan: &mut plan };
                steps.write(write, documents);
            }
        }
        // Behind all else, whatever its place in the batch: its number is taken when all rows the batch changes are
        // locked. Taken before, it could be smaller than that of a batch which changed the same row and was committed
        // while this one waited for it.
        plan.outbox_from = plan.steps.len();
        for (index, statement) in outbox::add(&told).into_iter().enumerate() {
            let index = batch.writes.len() + index;
            plan.steps.push(Step { index, statement, wants: Wants::Anything });
        }
        plan
    }
}

/// The steps of one write.
pub(super) struct Steps<'a, 'p> {
    index: usize,
    plan: &'p mut Plan<'a>,
}

impl<'a> Steps<'a, '_> {
    /// Adds a step.
    pub(super) fn add(&mut self, sql: &'a str, params: Vec<Param<'a>>, wants: Wants<'a>) {
        self.plan.steps.push(Step { index: self.index, statement: Statement { sql, params }, wants });
    }

    pub(super) fn write(&mut self, write: &'a Write, documents: &'a Documents) {
        let text = documents.main.as_str();
        match write {
            Write::PutResource { resource, expect } => {
                let keys = || vec![value(resource.kind().as_str()), value(resource.name.as_str())];
                self.put(&RESOURCES, keys, vec![word(&resource.etag), value(text)], expect);
            }
            Write::DeleteResource { kind, name, expect } => {
                let keys = || vec![value(kind.as_str()), value(name.as_str())];
                self.delete(&RESOURCES, keys, expect);
                plan_resources::delete_instance(self, *kind, name);
            }
            Write::PutDevice { hub, device, identity, twin } => {
                self.put_device(hub, device, documents, [identity, twin]);
            }
            Write::DeleteDevice { hub, id, identity } => self.delete_device(hub, id, identity),
            Write::EnqueueMessage { .. }
            | Write::PutMessage { .. }
            | Write::DeleteMessage { .. }
            | Write::PutMqttSession { .. }
            | Write::DeleteMqttSession { .. } => plan_messages::write(self, write, text),
            Write::NoteActivity { hub, device, activity } => activity::note(self, hub, device, *activity),
            Write::PutConfiguration { .. } | Write::DeleteConfiguration { .. } => {
                self.configurations(write, text)
            }
            Write::RequireNoDevice { hub, id } => self.require_no_device(hub, id),
            Write::PutEnrollment { dps, enrollment, expect } => {
                let columns = vec![word(&enrollment.rules.etag), value(text)];
                self.put(&ENROLLMENTS, || key(dps, &enrollment.registration_id), columns, expect);
            }
            Write::DeleteEnrollment { dps, id, expect } => self.delete(&ENROLLMENTS, || key(dps, id), expect),
            Write::PutEnrollmentGroup { dps, group, expect } => {
                let columns = vec![word(&group.rules.etag), value(text)];
                self.put(&GROUPS, || folded_key(dps, &group.id), columns, expect);
            }
            Write::DeleteEnrollmentGroup { dps, id, expect } => {
                self.delete(&GROUPS, || folded_key(dps, id), expect);
            }
            Write::PutRegistration { dps, registration, expect } => {
                let group = registration.group.as_deref().map(|group| stored(&folded(group)));
                let status = registration.status.as_str();
                let columns = vec![value(group), value(status), word(&registration.etag), value(text)];
                self.put(&REGISTRATIONS, || key(dps, &registration.registration_id), columns, expect);
            }
            Write::DeleteRegistration { dps, id, expect } => {
                self.delete(&REGISTRATIONS, || key(dps, id), expect);
            }
            Write::PutModel { .. }
            | Write::DeleteModel { .. }
            | Write::PutTwin { .. }
            | Write::DeleteTwin { .. }
            | Write::PutRelationship { .. }
            | Write::DeleteRelationship { .. }
            | Write::PutVersion { .. }
            | Write::ForgetVersions { .. } => self.graph(write, text),
            Write::PutCheckpoint { .. }
            | Write::DeleteCheckpoints { .. }
            | Write::PutDeadLetter { .. }
            | Write::KeepDeadLetters { .. }
            | Write::DeleteDeadLetter { .. } => self.functions(write, text),
            Write::PutJob { twins, job, expect } => {
                let keys = || job_key(twins, job.kind, &job.id);
                self.put(&JOBS, keys, vec![word(&job.etag), value(text)], expect);
            }
            Write::DeleteJob { twins, kind, id, expect } => {
                self.delete(&JOBS, || job_key(twins, *kind, id), expect);
            }
            Write::PutScheduledJob { .. }
            | Write::DeleteScheduledJob { .. }
            | Write::PutDeviceJob { .. }
            | Write::ForgetDeviceJobs { .. } => scheduled_jobs::write(self, write, text),
            Write::PutSecret { .. } | Write::DeleteSecret { .. } => self.secrets(write, text),
            Write::RequireLease { owner, lease: Lease { name, epoch } } => {
                let params = vec![word(name), word(owner), value(epoch)];
                self.add(LEASE_STAYS, params, Wants::Row(Mismatch::LeaseLost));
            }
            Write::Outbox(_) => {}
        }
    }

    fn secrets(&mut self, write: &'a Write, text: &'a str) {
        match write {
            Write::PutSecret { secret, expect } => {
                let keys = || vec![word(&secret.scope), word(&secret.id)];
                self.put(&SECRETS, keys, vec![word(&secret.etag), value(text)], expect);
            }
            Write::DeleteSecret { scope, id, expect } => {
                self.delete(&SECRETS, || vec![word(scope), word(id)], expect);
            }
            _ => {}
        }
    }

    fn configurations(&mut self, write: &'a Write, text: &'a str) {
        match write {
            Write::PutConfiguration { hub, configuration, expect } => {
                let columns = vec![word(&configuration.etag), value(text)];
                self.put(&CONFIGURATIONS, || key(hub, &configuration.id), columns, expect);
            }
            Write::DeleteConfiguration { hub, id, expect } => {
                self.delete(&CONFIGURATIONS, || key(hub, id), expect);
            }
            _ => {}
        }
    }

    fn graph(&mut self, write: &'a Write, text: &'a str) {
        match write {
            Write::PutModel { twins, model, expect } => {
                self.put(&MODELS, || key(twins, &model.id), vec![value(text)], expect);
            }
            Write::DeleteModel { twins, id, expect } => self.delete(&MODELS, || key(twins, id), expect),
            Write::PutTwin { twins, twin, expect } => {
                let columns = vec![word(&twin.model), word(&twin.etag), value(text)];
                self.put(&TWINS, || key(twins, &twin.id), columns, expect);
            }
            Write::DeleteTwin { twins, id, expect } => {
                // The row goes first: that waits for whoever relates to it now, and whoever comes later finds no twin.
                self.delete(&TWINS, || key(twins, id), expect);
                self.add(RELATIONSHIPS_OF, key(twins, id), Wants::NoRow(Mismatch::HasRelationships));
            }
            Write::PutRelationship { twins, relationship, expect } => {
                let edge = &**relationship;
                let columns = vec![word(&edge.target), word(&edge.name), word(&edge.etag), value(text)];
                let keys = || vec![value(twins.as_str()), word(&edge.source), word(&edge.id)];
                self.put(&RELATIONSHIPS, keys, columns, expect);
                self.add(TWIN_STAYS, key(twins, &edge.source), Wants::Row(Mismatch::NoSource));
                self.add(TWIN_STAYS, key(twins, &edge.target), Wants::Row(Mismatch::NoTarget));
            }
            Write::DeleteRelationship { twins, source, id, expect } => {
                let keys = || vec![value(twins.as_str()), word(source), word(id)];
                self.delete(&RELATIONSHIPS, keys, expect);
            }
            Write::PutVersion { twins, version } => {
                let (twin, relationship) = version.of();
                let (etag, target) = match &version.was {
                    Past::Twin(twin) => (&twin.etag, ""),
                    Past::Relationship(relationship) => (&relationship.etag, relationship.target.as_str()),
                };
                let keys = || {
                    let mut keys = key(twins, twin);
                    keys.extend([
                        word(relationship.unwrap_or_default()),
                        value(version.until.as_micros()),
                        word(etag),
                    ]);
                    keys
                };
                let columns = vec![value(version.since().as_micros()), word(target), value(text)];
                self.put(&HISTORY, keys, columns, &Expect::Any);
            }
            Write::ForgetVersions { twins, before, most } => {
                let params = vec![value(twins.as_str()), value(before.as_micros()), value(i64::from(*most))];
                self.add(FORGET_VERSIONS, params, Wants::Anything);
            }
            _ => {}
        }
    }

    fn functions(&mut self, write: &'a Write, text: &'a str) {
        match write {
            Write::PutCheckpoint { key, partition, checkpoint } => {
                let keys = || {
                    let owner = [&key.event_hub, &key.consumer_group, &key.owner].map(|part| word(part));
                    let mut keys = vec![value(key.namespace.as_str())];
                    keys.extend(owner);
                    keys.push(value(i64::from(*partition)));
                    keys
                };
                let columns = vec![value(checkpoint.sequence_number), value(checkpoint.offset)];
                self.put(&CHECKPOINTS, keys, columns, &Expect::Any);
            }
            Write::DeleteCheckpoints { namespace, event_hub, consumer_group: None } => {
                let sql = "DELETE FROM checkpoints WHERE namespace = $1 AND event_hub = $2";
                self.add(sql, key(namespace, event_hub), Wants::Anything);
            }
            Write::DeleteCheckpoints { namespace, event_hub, consumer_group: Some(group) } => {
                let sql =
                    "DELETE FROM checkpoints WHERE namespace = $1 AND event_hub = $2 AND consumer_group = $3";
                let params = vec![value(namespace.as_str()), word(event_hub), word(group)];
                self.add(sql, params, Wants::Anything);
            }
            Write::PutDeadLetter { letter } => {
                let keys = || {
                    let mut keys = vec![value(letter.app.as_str()), word(&letter.function)];
                    keys.extend([value(letter.namespace.as_str()), word(&letter.event_hub)]);
                    keys.extend([value(i64::from(letter.partition)), value(letter.sequence_number)]);
                    keys
                };
                self.put(&DEAD_LETTERS, keys, vec![value(text), value(&letter.payload)], &Expect::Any);
            }
            Write::KeepDeadLetters { app, newest } => {
                // By distance of ids, so that it costs no more than what it removes.
                let sql = "DELETE FROM dead_letters WHERE app = $1 AND id <= (SELECT max(id) FROM dead_letters) - $2";
                self.add(sql, vec![value(app.as_str()), value(i64::from(*newest))], Wants::Anything);
            }
            Write::DeleteDeadLetter { app, id, expect } => {
                self.delete(&DEAD_LETTER_IDS, || vec![value(app.as_str()), value(*id)], expect);
            }
            _ => {}
        }
    }

    /// Puts a row of a noun with one etag or none.
    pub(super) fn put(
        &mut self,
        noun: &'static Noun,
        keys: impl Fn() -> Vec<Param<'a>>,
        columns: Vec<Param<'a>>,
        expect: &'a Expect,
    ) {
        let mut params = keys();
        let ask = || Ask { found: Statement { sql: &noun.found, params: keys() }, expects: vec![expect] };
        if matches!(expect, Expect::Etag(_)) && noun.etags == 0 {
            return self.add(NEVER, Vec::new(), Wants::Etags(ask()));
        }
        params.extend(columns);
        match expect {
            Expect::Any => self.add(&noun.upsert, params, Wants::Anything),
            Expect::Absent => self.add(&noun.insert, params, Wants::Row(Mismatch::Exists)),
            Expect::Present | Expect::Etag(_) => {
                if noun.etags > 0 {
                    params.push(wanted(expect));
                }
                let wants = match expect {
                    Expect::Etag(_) => Wants::Etags(ask()),
                    _ => Wants::Row(Mismatch::Absent),
                };
                self.add(&noun.update, params, wants);
            }
        }
    }

    /// Removes a row; its first etag is what an expectation means. That it is absent is looked at and not held.
    pub(super) fn delete(
        &mut self,
        noun: &'static Noun,
        keys: impl Fn() -> Vec<Param<'a>>,
        expect: &'a Expect,
    ) {
        let ask = || Ask { found: Statement { sql: &noun.found, params: keys() }, expects: vec![expect] };
        match expect {
            Expect::Any => self.add(&noun.delete, keys(), Wants::Anything),
            Expect::Absent => self.add(&noun.found, keys(), Wants::NoRow(Mismatch::Exists)),
            Expect::Present => self.add(&noun.delete, keys(), Wants::Row(Mismatch::Absent)),
            Expect::Etag(_) if noun.etags == 0 => self.add(NEVER, Vec::new(), Wants::Etags(ask())),
            Expect::Etag(_) => {
                let mut params = keys();
                params.push(wanted(expect));
                self.add(&noun.delete_if, params, Wants::Etags(ask()));
            }
        }
    }

    fn put_device(
        &mut self,
        hub: &'a ResourceName,
        device: &'a Device,
        documents: &'a Documents,
        expects: [&'a Expect; 2],
    ) {
        let noun: &'static Noun = if device.module.is_some() { &MODULES } else { &DEVICES };
        let keys = || device_key(hub, &device.id, device.module.as_deref());
        let (identity, twin) = (&device.identity, &device.twin);
        let mut params = keys();
        params.extend([word(&identity.etag), word(&twin.etag)]);
        if device.module.is_none() {
            params.push(value(identity.status == Status::Enabled));
        }
        params.extend([value(documents.main.as_str()), value(documents.twin.as_str())]);
        let ask = || {
            let found = Statement { sql: &noun.found, params: keys() };
            Wants::Etags(Ask { found, expects: expects.to_vec() })
        };
        match expects {
            [Expect::Any, Expect::Any] => self.add(&noun.upsert, params, Wants::Anything),
            [Expect::Absent, Expect::Absent | Expect::Any] | [Expect::Any, Expect::Absent] => {
                self.add(&noun.insert, params, Wants::Row(Mismatch::Exists));
            }
            // Both cannot hold; which one does not is for the row to say.
            [Expect::Absent, _] | [_, Expect::Absent] => self.add(NEVER, Vec::new(), ask()),
            [identity, twin] => {
                params.extend([wanted(identity), wanted(twin)]);
                self.add(&noun.update, params, ask());
                // Where it is there its device is.
                return;
            }
        }
        if device.module.is_some() {
            self.add(DEVICE_STAYS, key(hub, &device.id), Wants::Row(Mismatch::NoDevice));
        }
    }

    fn delete_device(&mut self, hub: &'a ResourceName, id: &'a DeviceAddress, identity: &'a Expect) {
        if let Some(module) = &id.module {
            self.delete(&MODULES, || device_key(hub, &id.device, Some(module)), identity);
            return activity::delete(self, hub, id);
        }
        // The row goes first: that waits for whoever makes a module of it now, and whoever comes later finds no device.
        self.delete(&DEVICES, || key(hub, &id.device), identity);
        self.add(MODULES_OF, key(hub, &id.device), Wants::NoRow(Mismatch::HasModules));
        plan_messages::delete_device(self, hub, &id.device);
        activity::delete(self, hub, id);
    }

    /// Holds until the batch is committed: a placeholder takes the key, so that whoever puts the device waits, and is
    /// gone again before anybody can see it.
    fn require_no_device(&mut self, hub: &'a ResourceName, id: &'a str) {
        let mut params = key(hub, id);
        params.extend([value(""), value(""), value(true), value(""), value("")]);
        self.add(&DEVICES.insert, params, Wants::Row(Mismatch::Exists));
        // Where the device is there this would remove it; but then the whole batch is rolled back.
        self.add(&DEVICES.delete, key(hub, id), Wants::Anything);
    }
}

/// An instance and an id in it.
pub(super) fn key<'a>(instance: &'a str, id: &'a str) -> Vec<Param<'a>> {
    vec![value(instance), word(id)]
}

/// A device, or a module of it.
fn device_key<'a>(hub: &'a str, device: &'a str, module: Option<&'a str>) -> Vec<Param<'a>> {
    let mut key = key(hub, device);
    key.extend(module.map(word));
    key
}

fn job_key<'a>(twins: &'a ResourceName, kind: JobKind, id: &'a str) -> Vec<Param<'a>> {
    vec![value(twins.as_str()), value(kind.as_str()), word(id)]
}

fn folded_key<'a>(instance: &'a ResourceName, id: &str) -> Vec<Param<'a>> {
    vec![value(instance.as_str()), value(stored(&folded(id)))]
}

fn stored(plain: &str) -> String {
    text(plain).into_owned()
}

/// The etag that is expected, NULL where none is.
fn wanted<'a>(expect: &'a Expect) -> Param<'a> {
    match expect {
        Expect::Etag(etag) => value(Some(text(etag))),
        Expect::Any | Expect::Absent | Expect::Present => value(None::<&str>),
    }
}
