//! Lines to twins and relationships that hold by their models. What it takes of the processor runs on threads of its own,
//! so that several blocks are read while one is written.

use std::collections::HashMap;
use std::sync::Arc;

use pollux_model::digital_twin::Relationship;
use pollux_model::ids::shown;
use pollux_model::job::Section;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, Result};
use serde_json::{Map, Value};

use super::ItemFault;
use super::apply::{Entry, Item};
use super::lines::{Block, Line, Place};
use super::portable::{RELATIONSHIP_ID, SOURCE_ID};
use crate::twins::models::Models;
use crate::twins::{Twins, document, put_relationship, refusal, relationship_rules};

/// A block whose items were looked at.
#[derive(Debug)]
pub(in crate::twins) struct Ready {
    pub(in crate::twins) entries: Vec<Entry>,
    pub(in crate::twins) faults: Vec<ItemFault>,
    /// Where the block ends.
    pub(in crate::twins) end: Place,
}

/// A relationship before its ends were looked up.
struct Draft {
    line: u64,
    source: String,
    id: String,
    target: String,
    name: String,
    properties: Map<String, Value>,
}

impl Twins {
    /// Reads a block of twins or relationships (of models it gives nothing: see `models`).
    ///
    /// # Errors
    /// The store cannot be read.
    pub(in crate::twins) async fn read_block(
        self: &Arc<Self>,
        resource: &Arc<Resource>,
        block: Block,
    ) -> Result<Ready> {
        let models = self.models.get(resource).await?;
        let Block { section, lines, end } = block;
        let twins = Arc::clone(self);
        if section != Section::Relationships {
            let (entries, faults) =
                blocking(move || sorted(lines, |line| twins.read_twin_line(line, &models))).await?;
            return Ok(Ready { entries, faults, end });
        }
        let (drafts, mut faults) = blocking(move || sorted(lines, draft)).await?;
        let mut ends: Vec<String> = Vec::with_capacity(drafts.len() * 2);
        ends.extend(drafts.iter().flat_map(|draft| [draft.source.clone(), draft.target.clone()]));
        ends.sort_unstable();
        ends.dedup();
        let found =
            self.context.store.models_of_twins(&resource.name, &ends).await.map_err(refusal::store)?;
        let twins = Arc::clone(self);
        let (entries, more) = blocking(move || {
            let ends: HashMap<String, String> =
                ends.into_iter().zip(found).filter_map(|(id, model)| Some((id, model?))).collect();
            sorted(drafts, |draft| twins.check_draft(draft, &ends, &models))
        })
        .await?;
        faults.extend(more);
        Ok(Ready { entries, faults, end })
    }

    fn read_twin_line(&self, line: Line, models: &Models) -> Result<Entry, ItemFault> {
        let number = line.number;
        let fault =
            |id: Option<String>, error| ItemFault { line: number, section: Section::Twins, id, error };
        let body = object(line).map_err(|error| fault(None, error))?;
        let Some(id) = body.get(document::ID).and_then(Value::as_str).map(str::to_owned) else {
            return Err(fault(None, Error::invalid("A twin must have a $dtId.")));
        };
        let made = refusal::check_id("twin", &id).and_then(|()| self.make(id.clone(), body, models));
        let made = made.and_then(|twin| models.in_use(&twin.model).map(|()| twin));
        let twin = made.map_err(|error| fault(Some(id), error))?;
        Ok(Entry { line: number, item: Item::Twin(Box::new(twin)) })
    }

    fn check_draft(
        &self,
        draft: Draft,
        ends: &HashMap<String, String>,
        models: &Models,
    ) -> Result<Entry, ItemFault> {
        let Draft { line, source, id, target, name, properties } = draft;
        let limits = &self.context.limits;
        let checked = match (ends.get(&source), ends.get(&target)) {
            (None, _) => Err(refusal::twin_not_found(&source)),
            (_, None) => Err(no_target(&target)),
            _ if source == target => Err(Error::new(
                ErrorCode::SelfRelationship,
                "A relationship cannot connect a twin to itself. Name another twin in $targetId.",
            )),
            (Some(from), Some(to)) => {
                relationship_rules::check(models, from, Some(to), &name, &properties, limits)
            }
        };
        match checked {
            Ok(()) => {
                let etag = Etag::fresh(&*self.context.random);
                let properties = Value::Object(properties);
                let updated = self.context.clock.now();
                let relationship = Relationship { id, source, target, name, etag, properties, updated };
                Ok(Entry { line, item: Item::Relationship(Box::new(relationship)) })
            }
            Err(error) => {
                let id = Some(format!("{source}/{id}"));
                Err(ItemFault { line, section: Section::Relationships, id, error })
            }
        }
    }
}

/// The target by its name: a file may have many.
pub(super) fn no_target(target: &str) -> Error {
    let target = shown(target);
    Error::new(
        ErrorCode::TargetTwinNotFound,
        format!("There is no digital twin '{target}', which is the target of this relationship."),
    )
}

fn draft(line: Line) -> Result<Draft, ItemFault> {
    let number = line.number;
    let fault =
        |id: Option<String>, error| ItemFault { line: number, section: Section::Relationships, id, error };
    let body = object(line).map_err(|error| fault(None, error))?;
    let text = |member: &str| body.get(member).and_then(Value::as_str).map(str::to_owned);
    // The article's example says $dtId, the API says $sourceId.
    let (Some(source), Some(id)) = (text(SOURCE_ID).or_else(|| text(document::ID)), text(RELATIONSHIP_ID))
    else {
        let what =
            "A relationship must have the id of its source in $dtId (or $sourceId), and a $relationshipId.";
        return Err(fault(None, Error::invalid(what)));
    };
    let key = format!("{source}/{id}");
    let read =
        refusal::check_id("relationship", &id).and_then(|()| put_relationship::read(Value::Object(body)));
    let (name, target, properties) = read.map_err(|error| fault(Some(key), error))?;
    Ok(Draft { line: number, source, id, target, name, properties })
}

/// The object in a line.
pub(super) fn object(line: Line) -> Result<Map<String, Value>> {
    let too_long = || Error::new(ErrorCode::TooLarge, "The line is longer than any item may be.");
    match serde_json::from_slice(&line.text.ok_or_else(too_long)?) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Error::invalid("The line is no JSON object.")),
        Err(error) => Err(Error::invalid(format!("The line is no JSON: {error}."))),
    }
}

/// What came of each.
fn sorted<T, R>(items: Vec<T>, mut read: impl FnMut(T) -> Result<R, ItemFault>) -> (Vec<R>, Vec<ItemFault>) {
    let (mut good, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        match read(item) {
            Ok(item) => good.push(item),
            Err(fault) => faults.push(fault),
        }
    }
    (good, faults)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal())
}
