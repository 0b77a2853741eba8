//! Imports a part of a graph file: what `pollux twin import` sends, one part after the other.

use std::sync::Arc;

use bytes::Bytes;
use pollux_model::job::Section;
use pollux_model::{ResourceName, Result};

use super::lines::Lines;
use super::models::Models;
use super::{ItemFault, longest, refused_along};
use crate::twins::Twins;
use crate::{Caller, Right};

/// Whole lines of a file.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// They begin with one that names a section.
    pub bytes: Bytes,
    /// How many lines of the file came before the second of these, for messages.
    pub before: u64,
}

/// What became of a part. Everything is durable when this is told.
#[derive(Debug, Default)]
pub struct Imported {
    /// Models made.
    pub models: u64,
    /// Twins made.
    pub twins: u64,
    /// Relationships made.
    pub relationships: u64,
    /// Items that were there already, and equal.
    pub unchanged: u64,
    /// Items that could not be imported.
    pub faults: Vec<ItemFault>,
}

impl Twins {
    /// Imports a part of a graph file.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`]: it is no part of a graph file;
    /// [`pollux_model::ErrorCode::ModelInvalid`] for models that do not hold together: none of the part's is made.
    pub async fn import_graph(
        self: &Arc<Self>,
        caller: &Caller,
        instance: &ResourceName,
        fragment: Fragment,
    ) -> Result<Imported> {
        let resource = self.authorize(caller, instance, Right::TwinsWrite)?;
        let limits = &self.context.limits;
        let mut lines = Lines::fragment(fragment.before.saturating_sub(1), longest(limits));
        lines.feed(&fragment.bytes)?;
        lines.finish()?;
        let (mut imported, mut models) = (Imported::default(), Models::default());
        while let Some(block) = lines.next() {
            if block.section == Section::Models {
                models.add(block, limits.graph_models)?;
                continue;
            }
            self.make_models(&resource, std::mem::take(&mut models), &mut imported).await?;
            let ready = self.read_block(&resource, block).await?;
            imported.faults.extend(ready.faults);
            let applied = self.apply(instance, ready.entries, |_| Vec::new()).await.map_err(refused_along)?;
            imported.twins += applied.twins;
            imported.relationships += applied.relationships;
            imported.unchanged += applied.unchanged;
            imported.faults.extend(applied.faults);
        }
        self.make_models(&resource, models, &mut imported).await?;
        imported.faults.sort_by_key(|fault| fault.line);
        Ok(imported)
    }

    async fn make_models(
        self: &Arc<Self>,
        resource: &Arc<pollux_model::resource::Resource>,
        mut models: Models,
        imported: &mut Imported,
    ) -> Result<()> {
        if models.is_empty() {
            imported.faults.append(&mut models.faults);
            return Ok(());
        }
        let made = self.import_models(resource, models).await?;
        imported.models += made.created;
        imported.unchanged += made.unchanged;
        imported.faults.extend(made.faults);
        Ok(())
    }
}
