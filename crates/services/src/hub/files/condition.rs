//! What must be so of a blob for something to be done with it ("Specifying conditional headers for Blob service operations"; RFC
//! 9110, "Evaluation of Preconditions").

use super::{BlobGrant, BlobRefusal, Hub};
use crate::blobs::{BlobError, BlobState};

/// What must be so. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobCondition {
    /// The blob is there as one of these (`If-Match`).
    pub matches: Option<Etags>,
    /// It is not there as one of these (`If-None-Match`).
    pub differs: Option<Etags>,
}

/// States that a client knows by their etags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Etags {
    /// Whatever it is (`*`).
    Any,
    /// One of these. An etag that was never given out here is none of them.
    These(Vec<BlobState>),
}

impl Etags {
    fn have(&self, found: Option<BlobState>) -> bool {
        found.is_some_and(|found| match self {
            Self::Any => true,
            Self::These(states) => states.contains(&found),
        })
    }
}

impl BlobCondition {
    /// There is none (`If-None-Match: *`).
    #[must_use]
    pub const fn absent() -> Self {
        Self { matches: None, differs: Some(Etags::Any) }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.differs == Some(Etags::Any)
    }

    fn is_matched(&self, found: Option<BlobState>) -> bool {
        self.matches.as_ref().is_none_or(|wanted| wanted.have(found))
    }

    fn is_different(&self, found: Option<BlobState>) -> bool {
        self.differs.as_ref().is_none_or(|unwanted| !unwanted.have(found))
    }

    /// For writing and deleting.
    ///
    /// # Errors
    /// [`BlobRefusal::Exists`] where there must be none; [`BlobRefusal::Changed`].
    pub(super) fn check_write(&self, found: Option<BlobState>) -> Result<(), BlobRefusal> {
        match (self.is_matched(found), self.is_different(found)) {
            (true, true) => Ok(()),
            (true, false) if self.is_absent() => Err(BlobRefusal::Exists),
            _ => Err(BlobRefusal::Changed),
        }
    }

    /// For reading; gives the blob's state.
    ///
    /// # Errors
    /// [`BlobRefusal::Changed`], also of a blob that is not there; [`BlobRefusal::NotModified`]; [`BlobRefusal::Missing`].
    pub(super) fn check_read(&self, found: Option<BlobState>) -> Result<BlobState, BlobRefusal> {
        if !self.is_matched(found) {
            return Err(BlobRefusal::Changed);
        }
        let state = found.ok_or(BlobRefusal::Missing)?;
        if self.is_different(found) { Ok(state) } else { Err(BlobRefusal::NotModified(state)) }
    }
}

impl Hub {
    /// The blob as it is now; `None`: it is not there.
    pub(super) async fn found(&self, grant: &BlobGrant) -> Result<Option<BlobState>, BlobRefusal> {
        match self.files.blobs.state(&self.kept(grant)?).await {
            Ok(found) => Ok(Some(found)),
            Err(BlobError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_model::Timestamp;

    use super::*;

    #[test]
    fn conditions_are_those_of_the_article() {
        let state = |size| BlobState { size, modified: Timestamp::from_secs(1) };
        let is = |etags| BlobCondition { matches: Some(etags), differs: None };
        let is_not = |etags| BlobCondition { matches: None, differs: Some(etags) };
        let these = |sizes: &[u64]| Etags::These(sizes.iter().map(|size| state(*size)).collect());
        let (there, nothing) = (Some(state(1)), None);
        for (condition, found, write, read) in [
            (BlobCondition::default(), there, Ok(()), Ok(state(1))),
            (BlobCondition::default(), nothing, Ok(()), Err(BlobRefusal::Missing)),
            (is(Etags::Any), there, Ok(()), Ok(state(1))),
            (is(Etags::Any), nothing, Err(BlobRefusal::Changed), Err(BlobRefusal::Changed)),
            (is(these(&[2, 1])), there, Ok(()), Ok(state(1))),
            (is(these(&[2])), there, Err(BlobRefusal::Changed), Err(BlobRefusal::Changed)),
            (is(these(&[1])), nothing, Err(BlobRefusal::Changed), Err(BlobRefusal::Changed)),
            (is_not(Etags::Any), there, Err(BlobRefusal::Exists), Err(BlobRefusal::NotModified(state(1)))),
            (is_not(Etags::Any), nothing, Ok(()), Err(BlobRefusal::Missing)),
            (is_not(these(&[1])), there, Err(BlobRefusal::Changed), Err(BlobRefusal::NotModified(state(1)))),
            (is_not(these(&[2])), there, Ok(()), Ok(state(1))),
        ] {
            assert_eq!(condition.check_write(found), write, "{condition:?} {found:?}");
            assert_eq!(condition.check_read(found), read, "{condition:?} {found:?}");
        }
    }
}
