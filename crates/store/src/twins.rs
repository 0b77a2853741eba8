//! Reading models, twins and relationships of a digital twins instance.

use async_trait::async_trait;
use pollux_model::ResourceName;
use pollux_model::digital_twin::{DigitalTwin, Relationship, StoredModel};

use crate::error::StoreError;
use crate::store::Page;

/// What a backend may use to read less than everything. Whoever asks checks every row again, so a backend MUST give at
/// least the rows that match and MAY give more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TwinFilter {
    /// Only these ids.
    pub ids: Option<Vec<String>>,
    /// Only twins of exactly these models.
    pub models: Option<Vec<String>>,
}

/// Which relationships to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Those that start at the twin.
    Outgoing,
    /// Those that end at the twin.
    Incoming,
}

/// Relationships of several twins, read at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Related {
    /// Those of the first twin that was asked for, those of the second, and so on. Twins at the end may be missing: they
    /// were not reached.
    pub of: Vec<Vec<Relationship>>,
    /// Where those of the last twin in `of` go on; `None` if it has no more.
    pub next: Option<String>,
}

/// What to pass as `after` to go on behind a relationship, whether or not it still is there.
#[must_use]
pub fn after_relationship(source: &str, id: &str) -> String {
    crate::keys::mark_of(source, id)
}

/// Models, twins and relationships, keyed by instance and id.
#[async_trait]
pub trait Twins {
    /// All models of the instance, ordered by id: they are few enough to be held in memory whole.
    async fn models(&self, twins: &ResourceName) -> Result<Vec<StoredModel>, StoreError>;
    /// One twin.
    async fn twin(&self, twins: &ResourceName, id: &str) -> Result<Option<DigitalTwin>, StoreError>;
    /// Twins in order of id, after `after`.
    async fn twins(
        &self,
        twins: &ResourceName,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError>;
    /// How many twins there are of these models (of all when `None`).
    async fn count_twins(&self, twins: &ResourceName, models: Option<&[String]>) -> Result<u64, StoreError>;
    /// One relationship.
    async fn relationship(
        &self,
        twins: &ResourceName,
        source: &str,
        id: &str,
    ) -> Result<Option<Relationship>, StoreError>;
    /// Relationships of one twin, optionally of one name, in order of (source, id), after `after`.
    async fn relationships_of(
        &self,
        twins: &ResourceName,
        twin: &str,
        direction: Direction,
        name: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError>;
    /// Relationships of several twins (each named once), of these names (of any when there are none), in the order of
    /// `ends` and then of (source, id): for the first twin after `after`, for all others from the beginning. At most
    /// `limit` in all (0 is read as 1), and at least the first twin is reached. What it gives was true at one moment.
    async fn related(
        &self,
        twins: &ResourceName,
        ends: &[String],
        direction: Direction,
        names: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Related, StoreError>;
    /// All relationships of the instance in order of (source, id), after `after`.
    async fn relationships(
        &self,
        twins: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError>;
}
