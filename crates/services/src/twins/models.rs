//! The models of each instance, resolved and in memory; read from the store at first use, replaced when changed here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use pollux_dtdl::{Diagnostic, Dtmi, Limits, ModelSet};
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

/// The models of an instance, as they were at some moment.
#[derive(Debug)]
struct Kept {
    /// When the instance was made: it may have been deleted and made again under the same name.
    created: Timestamp,
    /// Whether they may have changed since: then they are only where the next reading begins.
    old: bool,
    models: Arc<Models>,
}

/// The models of all instances.
#[derive(Debug)]
pub(super) struct ModelCache {
    context: Arc<Context>,
    instances: RwLock<HashMap<ResourceName, Kept>>,
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

    /// The store is asked before they are used again.
    fn doubt(&self, instance: &ResourceName) {
        if let Some(kept) = self.instances.write().get_mut(instance) {
            kept.old = true;
        }
    }

    /// Another node changed models: what is read from here on is what the store has.
    pub(super) async fn forget_from_elsewhere(&self, instance: Option<&ResourceName>) {
        // Whoever reads them at this moment may keep what was there before the change.
        let _held = self.changing.lock().await;
        match instance {
            Some(instance) => self.doubt(instance),
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
                cache.doubt(&instance.name);
            }
            let Some((batch, next)) = decide(&*cache.load(&instance).await?)? else { return Ok(()) };
            // A failed commit may still have been applied: the next reader must ask the store.
            cache.doubt(&instance.name);
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
        let kept = self.instances.read();
        let kept = kept.get(&instance.name)?;
        (kept.created == instance.created && !kept.old).then(|| Arc::clone(&kept.models))
    }

    fn keep(&self, instance: &Resource, models: Arc<Models>) {
        let kept = Kept { created: instance.created, old: false, models };
        self.instances.write().insert(instance.name.clone(), kept);
    }

    /// With `changing` held.
    async fn load(&self, instance: &Resource) -> Result<Arc<Models>> {
        if let Some(models) = self.kept(instance) {
            return Ok(models);
        }
        let before = self.instances.read().get(&instance.name).map(|kept| Arc::clone(&kept.models));
        let stored = self.context.store.models(&instance.name).await.map_err(refusal::store)?;
        // A thousand models take as long to resolve as others may wait for.
        let resolving = tokio::task::spawn_blocking(move || resolve(before.as_deref(), stored));
        let resolved = resolving.await.map_err(|_| Error::internal())?;
        let models = resolved.map(Arc::new).map_err(|diagnostics| {
            tracing::error!(instance = %instance.name, diagnostics = %joined(&diagnostics), "stored models do not hold");
            Error::internal()
        })?;
        self.keep(instance, Arc::clone(&models));
        Ok(models)
    }
}

/// What is stored, resolved. What is as it was in `before` is taken from there: on several nodes each change of models makes
/// all others read them again.
fn resolve(before: Option<&Models>, stored: Vec<StoredModel>) -> Result<Models, Vec<Diagnostic>> {
    let stored: BTreeMap<_, _> =
        stored.into_iter().map(|model| (model.id.clone(), Arc::new(model))).collect();
    let set = before
        .and_then(|before| follow(before, &stored))
        .map_or_else(|| joined_to(&ModelSet::new(), stored.values()), Ok)?;
    Ok(Models { set, stored })
}

/// The set after some came and some went; `None` where one that others refer to has changed, and all have to be read.
fn follow(before: &Models, stored: &BTreeMap<String, Arc<StoredModel>>) -> Option<ModelSet> {
    let same = |model: &StoredModel, known: Option<&Arc<StoredModel>>| {
        known.is_some_and(|known| known.uploaded == model.uploaded && known.document == model.document)
    };
    let gone = before.stored.values().filter(|model| !same(model, stored.get(&model.id)));
    let gone: Vec<Dtmi> = gone.map(|model| Dtmi::parse(&model.id)).collect::<Result<_, _>>().ok()?;
    let came = stored.values().filter(|model| !same(model, before.stored.get(&model.id)));
    joined_to(&before.set.without(&gone).ok()?, came).ok()
}

fn joined_to<'a>(
    set: &ModelSet,
    models: impl Iterator<Item = &'a Arc<StoredModel>>,
) -> Result<ModelSet, Vec<Diagnostic>> {
    let documents: Vec<Value> = models.map(|model| model.document.clone()).collect();
    let mut models = pollux_dtdl::parse(&outermost(documents), &limits())?;
    // One that is defined inside another comes with it, though it may be there by itself.
    models.retain(|model| set.get(&model.id).is_none());
    set.with_limits(models, &limits())
}

/// What a model may be, once it is stored: of any size and in any version of DTDL that was accepted at its time.
pub(super) fn limits() -> Limits {
    Limits { max_version: Limits::language().max_version, model_bytes: usize::MAX, ..Limits::azure() }
}

/// All diagnostics as one text.
pub(super) fn joined(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// These documents without those whose models are defined inside others of them, in the same words. Such a model is stored, and
/// exported, by itself too; read twice it would be two models of one id.
pub(super) fn outermost(mut documents: Vec<Value>) -> Vec<Value> {
    let mut inner = HashMap::new();
    documents.iter().for_each(|document| defined_inside(document, &mut inner));
    let again = |document: &Value| {
        let defined = document["@id"].as_str().and_then(|id| inner.get(id));
        defined.is_some_and(|inner| words(inner).eq(words(document)))
    };
    let mut again = documents.iter().map(again).collect::<Vec<_>>().into_iter();
    documents.retain(|_| again.next() != Some(true));
    documents
}

fn defined_inside<'a>(outer: &'a Value, found: &mut HashMap<&'a str, &'a Value>) {
    let parts: &mut dyn Iterator<Item = &Value> = match outer {
        Value::Object(members) => &mut members.values(),
        Value::Array(items) => &mut items.iter(),
        _ => return,
    };
    for part in parts {
        if let Some(id) = part["@id"].as_str() {
            found.insert(id, part);
        }
        defined_inside(part, found);
    }
}

/// All but the context, which only the outermost has to have.
fn words(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = document.as_object().into_iter().flatten();
    members.filter(|(name, _)| *name != "@context")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(id: &str, contents: Value, uploaded: i64) -> StoredModel {
        let mut document = json!({ "@context": "dtmi:dtdl:context;2", "@id": id, "@type": "Interface" });
        document.as_object_mut().unwrap().extend(contents.as_object().unwrap().clone());
        StoredModel {
            id: id.into(),
            document,
            uploaded: Timestamp::from_micros(uploaded),
            decommissioned: false,
        }
    }

    fn property(name: &str) -> Value {
        json!({ "contents": [{ "@type": "Property", "name": name, "schema": "double" }] })
    }

    /// What each model has, inherited contents too.
    fn shown(models: &Models) -> Vec<(String, Vec<String>)> {
        let shown = models.stored.keys().map(|id| {
            let interface = models.set.get(&Dtmi::parse(id).unwrap()).unwrap();
            (id.clone(), interface.properties.keys().cloned().collect())
        });
        shown.collect()
    }

    #[test]
    fn what_is_taken_over_is_what_reading_all_of_it_gives() {
        let (base, own) = ("dtmi:t:Base;1", "dtmi:t:Own;1");
        let derived = |uploaded| stored(own, json!({ "extends": base }), uploaded);
        let states = [
            vec![stored(base, property("a"), 1)],
            vec![stored(base, property("a"), 1), derived(2)],
            // Both were deleted and made again, the base with other contents.
            vec![stored(base, property("b"), 3), derived(4)],
            // The base alone is another: its user stays.
            vec![stored(base, property("c"), 5), derived(4)],
            vec![stored(base, property("c"), 5)],
            vec![],
        ];
        for from in &states {
            let before = resolve(None, from.clone()).unwrap();
            for to in &states {
                let whole = resolve(None, to.clone()).unwrap();
                let next = resolve(Some(&before), to.clone()).unwrap();
                assert_eq!(shown(&next), shown(&whole));
                assert_eq!(next.stored, whole.stored);
            }
        }
        let decommissioned = StoredModel { decommissioned: true, ..derived(4) };
        let before = resolve(None, states[2].clone()).unwrap();
        let next = resolve(Some(&before), vec![states[2][0].clone(), decommissioned]).unwrap();
        assert!(next.stored[own].decommissioned, "the set is the same, what is stored is not");
    }

    #[test]
    fn a_model_that_is_defined_inside_another_is_one_though_it_is_stored_twice() {
        let inner = "dtmi:t:Inner;1";
        let component = json!({ "contents": [{ "@type": "Component", "name": "c", "schema": {
            "@id": inner, "@type": "Interface", "contents": property("a")["contents"],
        } }] });
        let alone = stored(inner, property("a"), 1);
        let outer = stored("dtmi:t:Outer;1", component, 1);
        let both = vec![alone.clone(), outer.clone()];
        assert_eq!(shown(&resolve(None, both.clone()).unwrap()).len(), 2);
        let other = stored(inner, property("b"), 1);
        assert!(resolve(None, vec![other, outer]).is_err(), "two of one id that say different things");
        let before = resolve(None, vec![alone]).unwrap();
        assert_eq!(
            shown(&resolve(Some(&before), both.clone()).unwrap()),
            shown(&resolve(None, both).unwrap())
        );
    }
}
