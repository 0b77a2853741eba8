//! The output log of an import: a JSON document a line, in the form of the article's example. What fails is told item by item.
//!
//! After a crash lines of the last batch may be there twice: they are written before the batch is committed.

use bytes::Bytes;
use pollux_model::{Error, ErrorCode, Timestamp};
use serde_json::{Map, Value, json};

use crate::blobs::{BlobError, Output};
use crate::twins::{ItemFault, Twins};

/// Bytes that are written at once at most; an append blob takes 4 MiB.
const PORTION: usize = 1024 * 1024;

/// A log being written.
#[derive(Debug)]
pub(super) struct Log {
    output: Output,
    job: String,
    pending: String,
}

impl Log {
    pub(super) const fn new(output: Output, job: String) -> Self {
        Self { output, job, pending: String::new() }
    }

    /// Something that is as it should be.
    pub(super) fn info(&mut self, now: Timestamp, details: Value) {
        self.line(now, "Info", details);
    }

    /// Something that is not.
    pub(super) fn error(&mut self, now: Timestamp, details: Value) {
        self.line(now, "Error", details);
    }

    /// An item that failed.
    pub(super) fn fault(&mut self, now: Timestamp, fault: &ItemFault) {
        let mut details = Map::new();
        details.insert("section".into(), fault.section.as_str().into());
        if fault.line > 0 {
            details.insert("line".into(), fault.line.into());
        }
        if let Some(id) = &fault.id {
            details.insert("id".into(), id.as_str().into());
        }
        let Error { code, message, .. } = &fault.error;
        details.insert("code".into(), code_of(*code).into());
        details.insert("message".into(), message.as_str().into());
        self.line(now, "Error", Value::Object(details));
    }

    fn line(&mut self, now: Timestamp, kind: &str, details: Value) {
        let line = json!({
            "timestamp": now, "jobId": self.job, "jobType": "Import", "logType": kind, "details": details,
        });
        self.pending.push_str(&line.to_string());
        self.pending.push('\n');
    }

    /// Writes what is pending.
    pub(super) async fn flush(&mut self, twins: &Twins) -> Result<(), BlobError> {
        let pending = Bytes::from(std::mem::take(&mut self.pending));
        let mut rest = &pending[..];
        while !rest.is_empty() {
            // At the end of a line, so that every part is lines.
            let end = rest.len().min(PORTION);
            let end = if end == rest.len() {
                end
            } else {
                rest[..end].iter().rposition(|b| *b == b'\n').map_or(end, |at| at + 1)
            };
            let part = pending.slice_ref(&rest[..end]);
            twins.jobs.blobs.append(&mut self.output, part).await?;
            rest = &rest[end..];
        }
        Ok(())
    }
}

/// ADT's code, where it has another name for it than we have.
pub(super) fn code_of(code: ErrorCode) -> String {
    match code {
        ErrorCode::TwinNotFound => "DigitalTwinNotFound".to_owned(),
        ErrorCode::TargetTwinNotFound => "TargetDigitalTwinNotFound".to_owned(),
        ErrorCode::ModelExists => "ModelIdAlreadyExists".to_owned(),
        ErrorCode::ModelInvalid => "DTDLParserError".to_owned(),
        ErrorCode::RelationshipExists => "RelationshipAlreadyExists".to_owned(),
        ErrorCode::SelfRelationship => "OperationNotAllowed".to_owned(),
        ErrorCode::TooLarge => "PayloadTooLarge".to_owned(),
        ErrorCode::ModelVersionUnsupported => "ModelVersionNotSupported".to_owned(),
        ErrorCode::QuotaExceeded => "LimitExceeded".to_owned(),
        ErrorCode::Unavailable => "ServiceUnavailable".to_owned(),
        ErrorCode::Internal => "InternalServerError".to_owned(),
        same => format!("{same:?}"),
    }
}
