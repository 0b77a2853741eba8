//! Items to batches. Nobody asks beforehand whether they are there: nearly always they are not, and where one is, the
//! store refuses the batch; only then each is looked at.

use std::collections::HashMap;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::job::Section;
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::twins::TwinFilter;
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};

use super::{ItemFault, portable, read};
use crate::twins::commit::{ATTEMPTS, too_contended};
use crate::twins::room::Noun;
use crate::twins::{Twins, refusal};

/// An item that holds by its model, and its line.
#[derive(Debug, Clone)]
pub(in crate::twins) struct Entry {
    pub(super) line: u64,
    pub(super) item: Item,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Twin(Box<DigitalTwin>),
    Relationship(Box<Relationship>),
}

/// What became of items.
#[derive(Debug, Default)]
pub(in crate::twins) struct Applied {
    pub(in crate::twins) twins: u64,
    pub(in crate::twins) relationships: u64,
    /// There already, and equal.
    pub(in crate::twins) unchanged: u64,
    pub(in crate::twins) faults: Vec<ItemFault>,
}

/// Why items were not applied.
#[derive(Debug)]
pub(in crate::twins) enum NotApplied {
    /// One of the writes that were to go along was refused.
    Along(Mismatch),
    /// The store is away, or the world moved too often.
    Failed(Error),
}

impl Twins {
    /// Makes these items, all in one commit, together with what `along` wants written, given what becomes of them.
    pub(in crate::twins) async fn apply(
        &self,
        instance: &ResourceName,
        mut entries: Vec<Entry>,
        along: impl Fn(&Applied) -> Vec<Write>,
    ) -> Result<Applied, NotApplied> {
        let (mut applied, mut settled) = (Applied::default(), false);
        for _ in 0..ATTEMPTS {
            (applied.twins, applied.relationships) = (0, 0);
            for entry in &entries {
                match entry.item {
                    Item::Twin(_) => applied.twins += 1,
                    Item::Relationship(_) => applied.relationships += 1,
                }
            }
            match self.room_for(instance, &applied, &entries).await {
                Ok(()) => {}
                Err(error) if settled => return Err(NotApplied::Failed(error)),
                // Some may be there already.
                Err(_) => {
                    settled = true;
                    entries =
                        self.settle(instance, entries, &mut applied).await.map_err(NotApplied::Failed)?;
                    continue;
                }
            }
            let mut writes = along(&applied);
            let others = writes.len();
            writes.extend(entries.iter().map(|entry| write(instance, entry)));
            match self.context.store.commit(Batch { writes }).await {
                Ok(()) => return Ok(applied),
                Err(CommitError::Expectation { index, mismatch }) if index < others => {
                    return Err(NotApplied::Along(mismatch));
                }
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(NotApplied::Failed(refusal::commit(error))),
            }
            entries = self.settle(instance, entries, &mut applied).await.map_err(NotApplied::Failed)?;
        }
        Err(NotApplied::Failed(too_contended()))
    }

    async fn room_for(&self, instance: &ResourceName, applied: &Applied, entries: &[Entry]) -> Result<()> {
        self.make_room(instance, Noun::Twin, applied.twins).await?;
        self.make_room(instance, Noun::Relationship, applied.relationships).await?;
        let relationships: Vec<&Relationship> = entries
            .iter()
            .filter_map(|entry| match &entry.item {
                Item::Twin(_) => None,
                Item::Relationship(relationship) => Some(&**relationship),
            })
            .collect();
        self.make_room_at_ends(instance, &relationships).await
    }

    /// Those that can be made after all. What is there already, and what misses an end, is noted.
    async fn settle(
        &self,
        instance: &ResourceName,
        entries: Vec<Entry>,
        applied: &mut Applied,
    ) -> Result<Vec<Entry>> {
        let there = self.look_up(instance, &entries).await?;
        let mut first: HashMap<(String, Option<String>), Item> = HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.item.key();
            let fault = match there.items.get(&key).or_else(|| first.get(&key)) {
                Some(other) if other.same(&entry.item) => {
                    applied.unchanged += 1;
                    continue;
                }
                Some(_) => Some(entry.item.exists()),
                None => there.missing_end(&entry.item),
            };
            if let Some(error) = fault {
                let (section, id) = (entry.item.section(), Some(entry.item.shown_id()));
                applied.faults.push(ItemFault { line: entry.line, section, id, error });
            } else {
                first.insert(key, entry.item.clone());
                kept.push(entry);
            }
        }
        Ok(kept)
    }

    async fn look_up(&self, instance: &ResourceName, entries: &[Entry]) -> Result<There> {
        let (mut ids, mut keys, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match &entry.item {
                Item::Twin(twin) => ids.push(twin.id.clone()),
                Item::Relationship(edge) => {
                    keys.push((edge.source.clone(), edge.id.clone()));
                    ends.extend([edge.source.clone(), edge.target.clone()]);
                }
            }
        }
        let (store, mut there) = (&self.context.store, There::default());
        if !ids.is_empty() {
            let (filter, limit) = (TwinFilter { ids: Some(ids), models: None }, entries.len());
            let page = store.twins(instance, &filter, None, limit).await.map_err(refusal::store)?;
            let items = page.items.into_iter().map(|twin| Item::Twin(Box::new(twin)));
            there.items.extend(items.map(|item| (item.key(), item)));
        }
        if !keys.is_empty() {
            let found = store.relationships_by_id(instance, &keys).await.map_err(refusal::store)?;
            let items = found.into_iter().flatten().map(|edge| Item::Relationship(Box::new(edge)));
            there.items.extend(items.map(|item| (item.key(), item)));
            ends.sort_unstable();
            ends.dedup();
            let models = store.models_of_twins(instance, &ends).await.map_err(refusal::store)?;
            there.twins = ends.into_iter().zip(models.iter().map(Option::is_some)).collect();
        }
        Ok(there)
    }
}

/// What the store has of some items.
#[derive(Default)]
struct There {
    items: HashMap<(String, Option<String>), Item>,
    /// Of each end whether it is there.
    twins: HashMap<String, bool>,
}

impl There {
    fn missing_end(&self, item: &Item) -> Option<Error> {
        let Item::Relationship(edge) = item else { return None };
        let is_there = |id: &str| self.twins.get(id).copied().unwrap_or(false);
        if !is_there(&edge.source) {
            return Some(refusal::twin_not_found(&edge.source));
        }
        (!is_there(&edge.target)).then(|| read::no_target(&edge.target))
    }
}

impl Item {
    fn key(&self) -> (String, Option<String>) {
        match self {
            Self::Twin(twin) => (twin.id.clone(), None),
            Self::Relationship(edge) => (edge.source.clone(), Some(edge.id.clone())),
        }
    }

    const fn section(&self) -> Section {
        match self {
            Self::Twin(_) => Section::Twins,
            Self::Relationship(_) => Section::Relationships,
        }
    }

    fn shown_id(&self) -> String {
        match self {
            Self::Twin(twin) => twin.id.clone(),
            Self::Relationship(edge) => format!("{}/{}", edge.source, edge.id),
        }
    }

    /// Equal in all that a file says of it.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Twin(one), Self::Twin(other)) => portable::twin(one) == portable::twin(other),
            (Self::Relationship(one), Self::Relationship(other)) => {
                portable::relationship(one) == portable::relationship(other)
            }
            _ => false,
        }
    }

    fn exists(&self) -> Error {
        let (code, noun) = match self {
            Self::Twin(_) => (ErrorCode::PreconditionFailed, "digital twin"),
            Self::Relationship(_) => (ErrorCode::RelationshipExists, "relationship"),
        };
        Error::new(
            code,
            format!("There is another {noun} of this id already; an import changes nothing that is there."),
        )
    }
}

fn write(instance: &ResourceName, entry: &Entry) -> Write {
    let (twins, expect) = (instance.clone(), Expect::Absent);
    match &entry.item {
        Item::Twin(twin) => Write::PutTwin { twins, twin: twin.clone(), expect },
        Item::Relationship(relationship) => {
            Write::PutRelationship { twins, relationship: relationship.clone(), expect }
        }
    }
}
