//! Several enrollments created, changed or deleted by one request, each by itself.
//!
//! REST reference, "Individual Enrollment - Run Bulk Operation" and "Enrollment Group - Run Bulk Operation": one mode for
//! all of them, at most ten, and for each that fails why. What did not fail is done.

use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Etag, Result};
use pollux_store::Expect;

use super::{GroupInput, IndividualInput, Provisioning};
use crate::caller::{Caller, Right};

/// What is done with all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkMode {
    /// They must not be there.
    Create,
    /// They must be there.
    Update,
    /// They must be there with the etag that each carries.
    UpdateIfMatchEtag,
    /// They go, whatever their etag.
    Delete,
}

/// One of them.
#[derive(Debug)]
pub struct BulkItem<I> {
    /// Whose enrollment it is.
    pub id: String,
    /// The etag it carries.
    pub etag: Option<Etag>,
    /// What it says; not looked at where it is deleted.
    pub input: Result<I>,
}

/// What failed, by id.
pub type BulkErrors = Vec<(String, Error)>;

impl Provisioning {
    /// Individual enrollments.
    pub async fn bulk_enrollments(
        &self,
        caller: &Caller,
        dps: &Resource,
        mode: BulkMode,
        items: Vec<BulkItem<IndividualInput>>,
    ) -> Result<BulkErrors> {
        self.check_bulk(caller, dps, items.len())?;
        let mut failed = Failed { mode, missing: ErrorCode::EnrollmentNotFound, errors: Vec::new() };
        for item in items {
            let id = item.id.clone();
            let done = match change(mode, item) {
                Ok(Some((input, expect))) => {
                    self.put_enrollment(caller, dps, input, Some(expect)).await.map(|_| ())
                }
                Ok(None) => self.delete_enrollment(caller, dps, &id, Expect::Any).await,
                Err(error) => Err(error),
            };
            failed.note(id, done)?;
        }
        Ok(failed.errors)
    }

    /// Enrollment groups.
    pub async fn bulk_enrollment_groups(
        &self,
        caller: &Caller,
        dps: &Resource,
        mode: BulkMode,
        items: Vec<BulkItem<GroupInput>>,
    ) -> Result<BulkErrors> {
        self.check_bulk(caller, dps, items.len())?;
        let mut failed = Failed { mode, missing: ErrorCode::EnrollmentGroupNotFound, errors: Vec::new() };
        for item in items {
            let id = item.id.clone();
            let done = match change(mode, item) {
                Ok(Some((group, expect))) => {
                    self.put_enrollment_group(caller, dps, group, Some(expect)).await.map(|_| ())
                }
                Ok(None) => self.delete_enrollment_group(caller, dps, &id, Expect::Any).await,
                Err(error) => Err(error),
            };
            failed.note(id, done)?;
        }
        Ok(failed.errors)
    }

    fn check_bulk(&self, caller: &Caller, dps: &Resource, items: usize) -> Result<()> {
        caller.require(ResourceKind::Dps, &dps.name, Right::Policy(PolicyRight::EnrollmentWrite))?;
        let most = self.context.limits.bulk_enrollments;
        if items <= most {
            return Ok(());
        }
        Err(Error::invalid(format!("{items} enrollments in one request; at most {most} are taken")))
    }
}

/// What failed so far.
struct Failed {
    mode: BulkMode,
    /// The code of what is to be updated and is not there.
    missing: ErrorCode,
    errors: BulkErrors,
}

impl Failed {
    fn note(&mut self, id: String, done: Result<()>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        match error.code {
            // Of the store nothing is to be hoped for by those that follow.
            ErrorCode::Unavailable => return Err(error),
            // That it is not there is no matter of an etag.
            ErrorCode::PreconditionFailed if self.mode == BulkMode::Update => {
                let error = Error::new(self.missing, "there is no such enrollment to update");
                self.errors.push((id, error));
            }
            _ => self.errors.push((id, error)),
        }
        Ok(())
    }
}

/// What is to be written and what is expected to be there; nothing: it is to be deleted.
fn change<I>(mode: BulkMode, item: BulkItem<I>) -> Result<Option<(I, Expect)>> {
    let expect = match (mode, item.etag) {
        (BulkMode::Delete, _) => return Ok(None),
        (BulkMode::Create, _) => Expect::Absent,
        (BulkMode::Update, _) => Expect::Present,
        (BulkMode::UpdateIfMatchEtag, Some(etag)) => Expect::Etag(etag),
        (BulkMode::UpdateIfMatchEtag, None) => {
            return Err(Error::invalid("the mode updateIfMatchETag needs an etag in each enrollment"));
        }
    };
    Ok(Some((item.input?, expect)))
}
