//! Each write's way to its table.

use pollux_model::DeviceAddress;
use rusqlite::Connection;

use super::failure::Refusal;
use super::relationships::Ends;
use super::{
    activity, configurations, devices, enrollments, functions, history, jobs, leases, messages, models,
    modules, outbox, registrations, relationships, resources, scheduled_jobs, secrets, twins,
};
use crate::batch::Write;
use crate::prepared::{Documents, Prepared};

/// Applies the writes in order; on a refusal names the write, and what was applied before it must be undone.
pub(super) fn apply_all(batch: &Prepared, connection: &Connection) -> Result<(), (usize, Refusal)> {
    let mut ends = Ends::default();
    for (index, (write, documents)) in batch.writes.iter().enumerate() {
        apply(connection, write, documents, &mut ends).map_err(|refusal| (index, refusal))?;
    }
    Ok(())
}

fn apply(
    connection: &Connection,
    write: &Write,
    documents: &Documents,
    ends: &mut Ends,
) -> Result<(), Refusal> {
    let text = documents.main.as_str();
    if matches!(write, Write::DeleteTwin { .. } | Write::DeleteResource { .. }) {
        ends.forget();
    }
    match write {
        Write::PutResource { resource, expect } => resources::put(connection, resource, text, expect),
        Write::DeleteResource { kind, name, expect } => resources::delete(connection, *kind, name, expect),
        Write::PutDevice { hub, device, identity, twin } => {
            let texts = (text, documents.twin.as_str());
            match &device.module {
                Some(module) => modules::put(connection, hub, (device, module), texts, (identity, twin)),
                None => devices::put(connection, hub, device, texts, (identity, twin)),
            }
        }
        Write::DeleteDevice { hub, id: DeviceAddress { device, module }, identity } => match module {
            Some(module) => modules::delete(connection, hub, (device, module), identity),
            None => devices::delete(connection, hub, device, identity),
        },
        Write::RequireNoDevice { hub, id } => devices::require_none(connection, hub, id),
        Write::PutEnrollment { dps, enrollment, expect } => {
            enrollments::put(connection, dps, enrollment, text, expect)
        }
        Write::DeleteEnrollment { dps, id, expect } => enrollments::delete(connection, dps, id, expect),
        Write::PutEnrollmentGroup { dps, group, expect } => {
            enrollments::put_group(connection, dps, group, text, expect)
        }
        Write::DeleteEnrollmentGroup { dps, id, expect } => {
            enrollments::delete_group(connection, dps, id, expect)
        }
        Write::PutRegistration { dps, registration, expect } => {
            registrations::put(connection, dps, registration, text, expect)
        }
        Write::DeleteRegistration { dps, id, expect } => registrations::delete(connection, dps, id, expect),
        Write::PutModel { twins, model, expect } => models::put(connection, twins, model, text, expect),
        Write::DeleteModel { twins, id, expect } => models::delete(connection, twins, id, expect),
        Write::PutTwin { twins, twin, expect } => twins::put(connection, twins, twin, text, expect),
        Write::DeleteTwin { twins, id, expect } => twins::delete(connection, twins, id, expect),
        Write::PutRelationship { twins, relationship, expect } => {
            relationships::put(connection, twins, relationship, (text, ends), expect)
        }
        Write::DeleteRelationship { twins, source, id, expect } => {
            relationships::delete(connection, twins, source, id, expect)
        }
        Write::PutVersion { twins, version } => history::put(connection, twins, version, text),
        Write::ForgetVersions { twins, before, most } => history::forget(connection, twins, *before, *most),
        Write::PutJob { twins, job, expect } => jobs::put(connection, twins, job, text, expect),
        Write::DeleteJob { twins, kind, id, expect } => jobs::delete(connection, twins, *kind, id, expect),
        Write::PutConfiguration { hub, configuration, expect } => {
            configurations::put(connection, hub, configuration, text, expect)
        }
        Write::DeleteConfiguration { hub, id, expect } => configurations::delete(connection, hub, id, expect),
        Write::PutScheduledJob { .. }
        | Write::DeleteScheduledJob { .. }
        | Write::PutDeviceJob { .. }
        | Write::ForgetDeviceJobs { .. } => scheduled_jobs::write(connection, write, text),
        Write::EnqueueMessage { .. }
        | Write::PutMessage { .. }
        | Write::DeleteMessage { .. }
        | Write::PutMqttSession { .. }
        | Write::DeleteMqttSession { .. } => messages::write(connection, write, text),
        Write::NoteActivity { hub, device, activity } => activity::note(connection, hub, device, *activity),
        Write::PutCheckpoint { key, partition, checkpoint } => {
            functions::put_checkpoint(connection, key, *partition, *checkpoint)
        }
        Write::PutDeadLetter { letter } => functions::put_dead_letter(connection, letter, text),
        Write::DeleteCheckpoints { namespace, event_hub, consumer_group } => {
            functions::delete_checkpoints(connection, namespace, event_hub, consumer_group.as_deref())
        }
        Write::KeepDeadLetters { app, newest } => functions::keep_dead_letters(connection, app, *newest),
        Write::DeleteDeadLetter { app, id, expect } => {
            functions::delete_dead_letter(connection, app, *id, expect)
        }
        Write::PutSecret { secret, expect } => secrets::put(connection, secret, text, expect),
        Write::DeleteSecret { scope, id, expect } => secrets::delete(connection, scope, id, expect),
        Write::RequireLease { owner, lease } => leases::require(connection, owner, lease),
        Write::Outbox(entry) => outbox::add(connection, entry),
    }
}
