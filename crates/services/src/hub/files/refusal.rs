//! Why something is not done with a blob that is kept here. The edge has the words of the storage's REST API for each.

use crate::blobs::{BlobError, BlobState};

/// Why something is not done with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobRefusal {
    /// The URL was not signed by this hub, or its time is over; the text says which.
    NotSigned(&'static str),
    /// It was signed for something else.
    NotAllowed,
    /// There is no such blob.
    Missing,
    /// It cannot be called so.
    Name(String),
    /// It is there already.
    Exists,
    /// It is not as it should be.
    Changed,
    /// Whoever asks has it as it is.
    NotModified(BlobState),
    /// It, or a block of it, would have more than so many bytes.
    TooLarge(u64),
    /// The hub has as many bytes of files as it may have.
    Full(u64),
    /// A block's id is none.
    BlockId,
    /// A block that is listed is not there, or there are too many.
    BlockList,
    /// Nothing of the blob is in that range.
    Range(u64),
    /// What was sent broke off.
    BrokenOff,
    /// The folder cannot be read or written.
    Failed(String),
}

impl From<BlobError> for BlobRefusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing(_) => Self::Missing,
            BlobError::Conflict(text) => Self::Name(text),
            BlobError::Away(text) | BlobError::No(text) => Self::Failed(text),
        }
    }
}
