//! Exports a graph: part by part, in the order of the file, models so that each comes behind those it needs, twins in order
//! of id, relationships in order of source and id.
//!
//! Each part is of one moment, all of them are not. A twin that is made or changed meanwhile is in the file or not, as it
//! was at one moment; a relationship made meanwhile may be in it without an end that came later than the twins were
//! written. Whoever wants the graph of one moment exports while nobody writes.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use pollux_model::job::Section;
use pollux_model::resource::Resource;
use pollux_model::{ResourceName, Result};
use pollux_store::twins::TwinFilter;
use serde_json::json;

use super::portable;
use crate::twins::models::Models;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

/// Items read at once.
const PAGE: usize = 1000;

/// An export under way.
#[derive(Debug)]
pub struct GraphExport {
    twins: Arc<Twins>,
    resource: Arc<Resource>,
    at: Option<At>,
}

/// What comes next.
#[derive(Debug)]
enum At {
    Header,
    Models,
    Twins(Option<String>),
    Relationships(Option<String>),
}

impl Twins {
    /// Begins an export of an instance.
    ///
    /// # Errors
    /// The caller may not, or there is no such instance.
    pub fn export_graph(self: &Arc<Self>, caller: &Caller, instance: &ResourceName) -> Result<GraphExport> {
        let resource = self.authorize(caller, instance, Right::TwinsRead)?;
        Ok(GraphExport { twins: Arc::clone(self), resource, at: Some(At::Header) })
    }
}

impl GraphExport {
    /// The next part; `None` behind the last.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(at) = self.at.take() else { return Ok(None) };
        let (store, instance) = (&self.twins.context.store, &self.resource.name);
        let mut text = String::new();
        self.at = match at {
            At::Header => {
                section(&mut text, Section::Header);
                let header =
                    json!({ "fileVersion": "1.0.0", "author": "pollux", "organization": instance.as_str() });
                line(&mut text, &header);
                Some(At::Models)
            }
            At::Models => {
                let models = self.twins.models.get(&self.resource).await?;
                section(&mut text, Section::Models);
                for id in in_order(&models) {
                    if let Some(model) = models.stored.get(&id) {
                        line(&mut text, &model.document);
                    }
                }
                Some(At::Twins(None))
            }
            At::Twins(after) => {
                if after.is_none() {
                    section(&mut text, Section::Twins);
                }
                let filter = TwinFilter::default();
                let page =
                    store.twins(instance, &filter, after.as_deref(), PAGE).await.map_err(refusal::store)?;
                page.items.iter().for_each(|twin| line(&mut text, &portable::twin(twin)));
                Some(page.next.map_or(At::Relationships(None), |next| At::Twins(Some(next))))
            }
            At::Relationships(after) => {
                if after.is_none() {
                    section(&mut text, Section::Relationships);
                }
                let page =
                    store.relationships(instance, after.as_deref(), PAGE).await.map_err(refusal::store)?;
                page.items.iter().for_each(|edge| line(&mut text, &portable::relationship(edge)));
                page.next.map(|next| At::Relationships(Some(next)))
            }
        };
        Ok(Some(Bytes::from(text)))
    }
}

fn section(text: &mut String, section: Section) {
    line(text, &json!({ "Section": section.as_str() }));
}

fn line(text: &mut String, document: &serde_json::Value) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{document}");
}

/// The ids of all models, each behind those it needs.
fn in_order(models: &Models) -> Vec<String> {
    let (mut placed, mut order) = (HashSet::new(), Vec::with_capacity(models.stored.len()));
    for root in models.stored.keys() {
        // Down to what needs nothing, and up again: the second time a model is met, all it needs is placed.
        let mut open = vec![(root.clone(), false)];
        while let Some((id, met)) = open.pop() {
            if met {
                order.push(id);
            } else if placed.insert(id.clone()) {
                let needs = pollux_dtdl::Dtmi::parse(&id).ok();
                let needs = needs.and_then(|id| models.set.model(&id)).map(|model| model.dependencies());
                open.push((id, true));
                open.extend(needs.into_iter().flatten().map(|id| (id.to_string(), false)));
            }
        }
    }
    order
}
