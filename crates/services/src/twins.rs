//! Digital twins: models, twins, their components and relationships, telemetry and queries of an instance.
//!
//! The rules are those of Azure Digital Twins (ADT); where its articles are silent, recorded sessions of the real
//! service decide. One file per verb; what they share:
//!
//! | file | concern |
//! |---|---|
//! | `models` | the models of each instance in memory, and the only way to change them |
//! | `commit` | the only way to change twins and relationships: read, decide, commit, again if the world moved |
//! | `change` | the one form of what happens to twins and relationships, before and after |
//! | `event_routes`, `notification` | who is told of it, and what |
//! | `document` | twins and relationships as JSON documents |
//! | `json_patch`, `twin_patch`, `difference` | JSON Patch, what of it a twin allows, and what a replacement comes to |
//! | `sizes`, `room`, `rates` | how large twins and relationships may be, how many, and how much may be asked a second |
//! | `graph` | the graph of an instance in memory, for queries |
//! | `indexes` | indexes on properties: declared, and in the store also adopted for what is asked often |
//! | `continuation` | tokens that say where a list goes on |
//! | `graph_file` | whole graphs as files: import and export |
//! | `jobs` | import and delete jobs |
//! | `refusal` | ADT's sentences |
//!
//! Not here: HTTP, and who may ask for a token. Event routes are made and deleted in `resources::event_routes`, and what
//! they lead elsewhere is sent on in `forwarding`.

use std::sync::Arc;

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{ResourceName, Result};

use crate::blobs::Blobs;
use crate::destination::PerResource;
use crate::{Caller, Context, Right};

mod change;
mod commit;
mod continuation;
mod create_models;
mod decommission_model;
mod delete_model;
mod delete_relationship;
mod delete_twin;
mod difference;
mod document;
mod event_routes;
mod forget_versions;
mod get_component;
mod get_event_route;
mod get_model;
mod get_relationship;
mod get_twin;
mod graph;
mod graph_file;
pub(crate) mod indexes;
mod jobs;
mod json_patch;
mod list_event_routes;
mod list_models;
mod list_relationships;
mod list_versions;
mod models;
mod notification;
mod patch_component;
mod patch_relationship;
mod patch_twin;
mod publish_telemetry;
mod put_relationship;
mod put_twin;
mod query;
mod rates;
pub(crate) mod refusal;
mod relationship_rules;
mod room;
mod sizes;
mod twin_patch;

pub use continuation::{Listing, Paging};
pub use document::{relationship_document, twin_document};
pub use get_component::Component;
pub use get_model::ModelDescription;
pub use graph_file::{Fragment, GraphCounts, GraphExport, Imported, ItemFault};
pub use jobs::{AddDeletion, AddImport, JobSettings};
pub use list_models::ListModels;
pub use list_versions::Version;
pub use patch_component::PatchComponent;
pub use patch_relationship::PatchRelationship;
pub use patch_twin::PatchTwin;
pub use publish_telemetry::PublishTelemetry;
pub use put_relationship::PutRelationship;
pub use put_twin::PutTwin;
pub use query::{QueryPage, QueryTwins, Row};

/// The digital twins service, for all instances.
#[derive(Debug)]
pub struct Twins {
    context: Arc<Context>,
    models: Arc<models::ModelCache>,
    lanes: commit::Lanes,
    continuation: continuation::Continuation,
    jobs: jobs::Jobs,
    graphs: graph::Graphs,
    indexes: indexes::Indexes,
    rooms: room::Rooms,
    rates: rates::Rates,
    /// Event routes of each instance, parsed.
    event_routes: PerResource<event_routes::Compiled>,
}

impl Twins {
    /// Makes the service. Reads nothing yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        let blobs = Arc::new(Blobs::new(Arc::clone(&context), JobSettings::default(), None));
        Self::with(context, blobs)
    }

    /// As [`Self::new`], over places that others use too.
    #[must_use]
    pub fn with(context: Arc<Context>, blobs: Arc<Blobs>) -> Self {
        Self {
            jobs: jobs::Jobs::new(blobs),
            models: Arc::new(models::ModelCache::new(Arc::clone(&context))),
            lanes: commit::Lanes::new(),
            rooms: room::Rooms::default(),
            rates: rates::Rates::default(),
            indexes: indexes::Indexes::default(),
            graphs: graph::Graphs::new(&context),
            continuation: continuation::Continuation::new(Arc::clone(&context)),
            event_routes: PerResource::default(),
            context,
        }
    }

    /// Forgets what is held in memory of an instance's models (of all when `None`), so that they are read again: for when
    /// another node of the deployment may have changed them.
    pub(crate) async fn forget_models(&self, instance: Option<&ResourceName>) {
        self.models.forget_from_elsewhere(instance).await;
    }

    /// The instance, if it exists and the caller has the right on it.
    fn authorize(&self, caller: &Caller, instance: &ResourceName, right: Right) -> Result<Arc<Resource>> {
        caller.require(ResourceKind::Twins, instance, right)?;
        self.context.table.get(ResourceKind::Twins, instance)
    }
}

#[cfg(test)]
mod tests;
