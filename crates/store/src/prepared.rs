//! Batches whose documents are written out: done on the caller's thread, before a backend's own time is spent.

use crate::batch::{Batch, Write};
use crate::document::encode;
use crate::error::StoreError;

/// A batch whose documents are written out already.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Each write with its documents.
    pub(crate) writes: Vec<(Write, Documents)>,
}

/// The JSON texts of one write; empty where it has none.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// The row's document; of a device or module the identity.
    pub(crate) main: String,
    /// The twin of a device or module.
    pub(crate) twin: String,
}

impl Prepared {
    pub(crate) fn new(batch: Batch) -> Result<Self, StoreError> {
        let prepare = |write| documents(&write).map(|documents| (write, documents));
        Ok(Self { writes: batch.writes.into_iter().map(prepare).collect::<Result<_, _>>()? })
    }

    /// Whether it is one change of one row, beside which nothing can be refused: then a refusal finds nothing of it written.
    pub(crate) fn first_decides(&self) -> bool {
        let mut writes = self.writes.iter().map(|(write, _)| write);
        // These are one statement that writes, behind all they may be refused for.
        let first = matches!(
            writes.next(),
            Some(Write::PutTwin { .. } | Write::PutDevice { .. } | Write::PutRegistration { .. })
        );
        first && writes.all(|write| matches!(write, Write::PutVersion { .. } | Write::Outbox(_)))
    }

    /// Whether it adds to the outbox.
    pub(crate) fn has_outbox(&self) -> bool {
        self.writes.iter().any(|(write, _)| matches!(write, Write::Outbox(_)))
    }
}

fn documents(write: &Write) -> Result<Documents, StoreError> {
    let main = match write {
        Write::PutDevice { device, .. } => {
            return Ok(Documents { main: encode(&device.identity)?, twin: encode(&device.twin)? });
        }
        Write::PutResource { resource, .. } => encode(resource)?,
        Write::PutEnrollment { enrollment, .. } => encode(enrollment)?,
        Write::PutEnrollmentGroup { group, .. } => encode(group)?,
        Write::PutRegistration { registration, .. } => encode(registration)?,
        Write::PutModel { model, .. } => encode(model)?,
        Write::PutTwin { twin, .. } => encode(twin)?,
        Write::PutRelationship { relationship, .. } => encode(relationship)?,
        Write::PutVersion { version, .. } => encode(version)?,
        Write::PutJob { job, .. } => encode(job)?,
        Write::PutConfiguration { configuration, .. } => encode(configuration)?,
        Write::PutScheduledJob { job, .. } => encode(job)?,
        Write::PutDeviceJob { job, .. } => encode(job)?,
        Write::PutDeadLetter { letter } => encode(letter)?,
        Write::EnqueueMessage { message, .. } | Write::PutMessage { message, .. } => encode(message)?,
        Write::PutMqttSession { session, .. } => encode(session)?,
        Write::PutSecret { secret, .. } => encode(secret)?,
        Write::DeleteResource { .. }
        | Write::DeleteDevice { .. }
        | Write::RequireNoDevice { .. }
        | Write::DeleteMessage { .. }
        | Write::DeleteMqttSession { .. }
        | Write::NoteActivity { .. }
        | Write::DeleteEnrollment { .. }
        | Write::DeleteEnrollmentGroup { .. }
        | Write::DeleteRegistration { .. }
        | Write::DeleteModel { .. }
        | Write::DeleteTwin { .. }
        | Write::DeleteRelationship { .. }
        | Write::ForgetVersions { .. }
        | Write::DeleteJob { .. }
        | Write::DeleteConfiguration { .. }
        | Write::DeleteScheduledJob { .. }
        | Write::ForgetDeviceJobs { .. }
        | Write::PutCheckpoint { .. }
        | Write::DeleteCheckpoints { .. }
        | Write::KeepDeadLetters { .. }
        | Write::DeleteDeadLetter { .. }
        | Write::DeleteSecret { .. }
        | Write::RequireLease { .. }
        | Write::Outbox(_) => String::new(),
    };
    Ok(Documents { main, twin: String::new() })
}
