//! The relationships of a twin: those that start at it and those that end at it.

use pollux_model::digital_twin::Relationship;
use pollux_model::{ResourceName, Result};
use pollux_store::twins::Direction;

use super::continuation::{Listing, Paging};
use super::rates::Kind;
use super::{Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// Relationships that start at a twin, in order of id; those of one name if `name` is given.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`].
    pub async fn relationships(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        twin: &str,
        name: Option<&str>,
        paging: Paging,
    ) -> Result<Listing<Relationship>> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        self.related(instance, twin, Direction::Outgoing, name, &paging).await
    }

    /// Relationships that end at a twin, in order of source and id.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`].
    pub async fn incoming_relationships(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        twin: &str,
        paging: Paging,
    ) -> Result<Listing<Relationship>> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        self.related(instance, twin, Direction::Incoming, None, &paging).await
    }

    async fn related(
        &self,
        instance: &ResourceName,
        twin: &str,
        direction: Direction,
        name: Option<&str>,
        paging: &Paging,
    ) -> Result<Listing<Relationship>> {
        self.read_twin(instance, twin).await?;
        let scope = format!("{instance}/{direction:?}/{twin}/{}", name.unwrap_or_default());
        let after: Option<String> = match &paging.continuation {
            Some(token) => Some(self.continuation.open(&scope, token).await?),
            None => None,
        };
        let store = &self.context.store;
        let page =
            store.relationships_of(instance, twin, direction, name, after.as_deref(), paging.limit()).await;
        let page = page.map_err(refusal::store)?;
        let continuation = match &page.next {
            Some(next) => Some(self.continuation.seal(&scope, next).await?),
            None => None,
        };
        Ok(Listing { items: page.items, continuation })
    }
}
