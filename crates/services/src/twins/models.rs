//! The models of each instance, resolved and in memory; read from the store at first use, replaced when changed here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use pollux_dtdl::{Diagnostic, Dtmi, Limits, Model, ModelSet};
use pollux_model::digital_twin::StoredModel;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_store::{Batch, CommitError};
use serde_json::Value;

use super::refusal;
use crate::Context;
use crate::cluster::Change;

/// All models of one instance at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Models {
    /// Resolved.
    pub(super) set: ModelSet,
    /// As stored, by id.
    pub(super) stored: BTreeMap<String, Arc<StoredModel>>,
}

impl Models {
    /// The model of a twin: it must be here.
    pub(super) fn known(&self, id: &str) -> Result<Dtmi> {
        let missing =
            || refusal::invalid("twin", [format!("{id} or one of its dependencies does not exist.")]);
        let dtmi = Dtmi::parse(id).map_err(|_| missing())?;
        if self.set.get(&dtmi).is_none() {
            return Err(missing());
        }
        Ok(dtmi)
    }

    /// That a twin may begin to be of this model. Those that are of it already may be changed all the same (article "Manage
    /// models", section "Decommissioning").
    pub(super) fn in_use(&self, id: &str) -> Result<()> {
        if self.stored.get(id).is_some_and(|model| model.decommissioned) {
            return Err(Error::new(
                ErrorCode::ModelDecommissioned,
                format!("The model {id} is decommissioned. Use a model that is not, for a new twin."),
            ));
        }
        Ok(())
    }
}

/// The models of all instances.
#[derive(Debug)]
pub(super) struct ModelCache {
    context: Arc<Context>,
    instances: RwLock<HashMap<ResourceName, (Timestamp, Arc<Models>)>>,
    /// Held while models are read from the store or changed, so that what is kept is never older than the store.
    changing: tokio::sync::Mutex<()>,
    /// Who is next to change models. Not held by those who read: what other nodes announce must be taken in meanwhile.
    turn: tokio::sync::Mutex<()>,
}

impl ModelCache {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            instances: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn forget(&self, instance: &ResourceName) {
        self.instances.write().remove(instance);
    }

    /// Another node changed models: what is read from here on is what the store has.
    pub(super) async fn forget_from_elsewhere(&self, instance: Option<&ResourceName>) {
        // Whoever reads them at this moment may keep what was there before the change.
        let _held = self.changing.lock().await;
        match instance {
            Some(instance) => self.forget(instance),
            None => self.instances.write().clear(),
        }
    }

    /// The models of an instance.
    pub(super) async fn get(&self, instance: &Resource) -> Result<Arc<Models>> {
        if let Some(models) = self.kept(instance) {
            return Ok(models);
        }
        let _held = self.changing.lock().await;
        self.load(instance).await
    }

    /// Changes the models of an instance: `decide` is given the present ones and gives the writes and the models that
    /// will be, or `None` if nothing is to change. Runs to its end even if the caller goes away, because models in
    /// memory must not differ from those in the store.
    pub(super) async fn change<F>(self: &Arc<Self>, instance: Arc<Resource>, decide: F) -> Result<()>
    where
        F: FnOnce(&Models) -> Result<Option<(Batch, Models)>> + Send + 'static,
    {
        let cache = Arc::clone(self);
        let change = tokio::spawn(async move {
            // Models depend on each other: no other node may change them meanwhile.
            let _turn = cache.turn.lock().await;
            let _alone = cache.context.cluster.alone(&format!("models/{}", instance.name), "models").await?;
            let held = cache.changing.lock().await;
            if cache.context.cluster.node().is_some() {
                cache.forget(&instance.name);
            }
            let Some((batch, next)) = decide(&*cache.load(&instance).await?)? else { return Ok(()) };
            // A failed commit may still have been applied: the next reader must ask the store.
            cache.forget(&instance.name);
            cache.context.store.commit(batch).await.map_err(conflict)?;
            cache.keep(&instance, Arc::new(next));
            // Released before the others are told: they may be telling us something.
            drop(held);
            cache.context.cluster.announce(Change::Models(instance.name.clone())).await;
            Ok(())
        });
        change.await.map_err(|_| Error::internal())?
    }

    fn kept(&self, instance: &Resource) -> Option<Arc<Models>> {
        if !self.context.cluster.hears() {
            return None;
        }
        // An instance may have been deleted and made again under the same name.
        let kept = self.instances.read();
        kept.get(&instance.name)
            .filter(|(created, _)| *created == instance.created)
            .map(|(_, models)| Arc::clone(models))
    }

    fn keep(&self, instance: &Resource, models: Arc<Models>) {
        self.instances.write().insert(instance.name.clone(), (instance.created, models));
    }

    /// With `changing` held.
    async fn load(&self, instance: &Resource) -> Result<Arc<Models>> {
        if let Some(models) = self.kept(instance) {
            return Ok(models);
        }
        let stored = self.context.store.models(&instance.name).await.map_err(refusal::store)?;
        let documents: Vec<Value> = stored.iter().map(|model| model.document.clone()).collect();
        let parsed = pollux_dtdl::parse(&documents, &limits()).map(first_of_each);
        let set = parsed.and_then(|models| ModelSet::new().with_limits(models, &limits())).map_err(|diagnostics| {
            tracing::error!(instance = %instance.name, diagnostics = %joined(&diagnostics), "stored models do not hold");
            Error::internal()
        })?;
        let stored = stored.into_iter().map(|model| (model.id.clone(), Arc::new(model))).collect();
        let models = Arc::new(Models { set, stored });
        self.keep(instance, Arc::clone(&models));
        Ok(models)
    }
}

/// What a model may be, once it is stored: of any size and in any version of DTDL that was accepted at its time.
pub(super) fn limits() -> Limits {
    Limits { max_version: Limits::language().max_version, model_bytes: usize::MAX, ..Limits::azure() }
}

/// All diagnostics as one text.
pub(super) fn joined(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A model that was defined inside another is stored by itself too, so it comes twice.
pub(super) fn first_of_each(models: Vec<Model>) -> Vec<Model> {
    let mut seen = std::collections::HashSet::new();
    models.into_iter().filter(|model| seen.insert(model.id.clone())).collect()
}

/// Only another node can have come in between.
fn conflict(error: CommitError) -> Error {
    match error {
        CommitError::Expectation { .. } => Error::new(
            ErrorCode::Unavailable,
            "The models were changed by somebody else at the same time. Please try again.",
        ),
        CommitError::Store(error) => refusal::store(error),
    }
}
