//! What a twin or a relationship was and is. An extension of ours: the real service sends each change to a database that
//! its owner runs ("data history"), and keeps nothing itself.

use pollux_model::digital_twin::{Past, PastVersion};
use pollux_model::{Error, ResourceName, Result, Timestamp};
use serde_json::Value;

use super::continuation::{Listing, Paging};
use super::rates::Kind;
use super::{Twins, refusal, relationship_document, twin_document};
use crate::{Caller, Right};

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From when it was so.
    pub since: Timestamp,
    /// Until when; `None`: it is so still.
    pub until: Option<Timestamp>,
    /// Whether it ended by being deleted.
    pub deleted: bool,
    /// The document, as the API shows what stands.
    pub document: Value,
}

impl Twins {
    /// Versions of a twin, or of a relationship of it, the oldest first and the present one last, as far back as the
    /// instance keeps them.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::InvalidArgument`] if the instance keeps no history,
    /// [`pollux_model::ErrorCode::TwinNotFound`] or [`pollux_model::ErrorCode::RelationshipNotFound`] if there is none and
    /// never was.
    pub async fn versions(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        (twin, relationship): (&str, Option<&str>),
        paging: Paging,
    ) -> Result<Listing<Version>> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        if resource.twin_history().is_none() {
            return Err(Error::invalid(refusal::NO_HISTORY));
        }
        let scope = format!("{instance}/history/{twin}/{}", relationship.unwrap_or_default());
        let after: Option<String> = match &paging.continuation {
            Some(token) => Some(self.continuation.open(&scope, token).await?),
            None => None,
        };
        // What stands is read first: should it change now, it is among the versions.
        let present = self.present(instance, twin, relationship).await?;
        let store = &self.context.store;
        let page = store.versions(instance, twin, relationship, after.as_deref(), paging.limit()).await;
        let page = page.map_err(refusal::store)?;
        let mut items: Vec<Version> = page.items.into_iter().map(past).collect();
        let continuation = match &page.next {
            Some(next) => Some(self.continuation.seal(&scope, next).await?),
            None => {
                let known = |present: &Version| items.iter().any(|past| past.document == present.document);
                let present = present.filter(|present| !known(present));
                items.extend(present);
                None
            }
        };
        if items.is_empty() && after.is_none() {
            return Err(relationship.map_or_else(
                || refusal::twin_not_found(twin),
                |relationship| refusal::relationship_not_found(twin, relationship),
            ));
        }
        Ok(Listing { items, continuation })
    }

    async fn present(
        &self,
        instance: &ResourceName,
        twin: &str,
        relationship: Option<&str>,
    ) -> Result<Option<Version>> {
        let store = &self.context.store;
        let standing = |since, document| Version { since, until: None, deleted: false, document };
        Ok(match relationship {
            None => {
                let found = store.twin(instance, twin).await.map_err(refusal::store)?;
                found.map(|twin| standing(twin.updated, twin_document(&twin)))
            }
            Some(id) => {
                let found = store.relationship(instance, twin, id).await.map_err(refusal::store)?;
                found.map(|found| standing(found.updated, relationship_document(&found)))
            }
        })
    }
}

fn past(version: PastVersion) -> Version {
    let since = version.since();
    let document = match &version.was {
        Past::Twin(twin) => twin_document(twin),
        Past::Relationship(relationship) => relationship_document(relationship),
    };
    Version { since, until: Some(version.until), deleted: version.deleted, document }
}
