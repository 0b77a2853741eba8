//! Real models: the sample of the provisioning article, RealEstateCore and the smart cities ontology.

use std::time::Duration;

use pollux_dtdl::{Dtmi, Limits, ModelSet, parse};
use serde_json::Value;

use crate::common;

fn load(name: &str) -> Option<Vec<Value>> {
    let folder = common::models(name)?;
    Some(common::json_files(&folder).iter().map(|path| common::read(path)).collect())
}

fn resolve(documents: &[Value]) -> ModelSet {
    let models = parse(documents, &Limits::azure()).unwrap_or_else(|errors| panic!("{}", show(&errors)));
    ModelSet::new().with(models).unwrap_or_else(|errors| panic!("{}", show(&errors)))
}

fn show(errors: &[pollux_dtdl::Diagnostic]) -> String {
    let shown: Vec<_> = errors.iter().take(40).map(ToString::to_string).collect();
    format!("{} errors:\n{}", errors.len(), shown.join("\n"))
}

fn id(text: &str) -> Dtmi {
    Dtmi::parse(text).unwrap()
}

#[test]
fn the_sample_resolves() {
    let Some(documents) = load("sample") else { return };
    let set = resolve(&documents);
    assert_eq!(set.len(), 2);
    for model in set.models() {
        assert!(set.get(&model.id).is_some());
        assert!(documents.contains(&model.source), "the source is verbatim");
    }
}

#[test]
fn real_estate_core_resolves_as_one_set() {
    let Some(documents) = load("realestatecore") else { return };
    // Elapsed time is printed for the reader and not asserted.
    let started = timer();
    let set = resolve(&documents);
    println!("{} models of RealEstateCore in {:?}", set.len(), started());
    assert_eq!(set.len(), documents.len());
    for model in set.models() {
        for parent in &model.extends {
            assert!(set.is_of(&model.id, parent, false) && !set.is_of(&model.id, parent, true));
            assert!(set.descendants(parent).contains(&model.id));
            assert!(set.referenced_by(parent).contains(&model.id));
            let (own, inherited) = (set.get(&model.id).unwrap(), set.get(parent).unwrap());
            assert!(inherited.properties.keys().all(|name| own.properties.contains_key(name)));
        }
    }
}

#[test]
fn smart_cities_resolve_as_one_set() {
    let Some(documents) = load("smartcities") else { return };
    let set = resolve(&documents);
    assert_eq!(set.len(), 63);
}

#[test]
fn models_go_in_and_out_in_order_of_dependency() {
    let Some(documents) = load("smartcities") else { return };
    let mut waiting = parse(&documents, &Limits::azure()).unwrap();
    let mut set = ModelSet::new();
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|model| model.dependencies().iter().all(|dependency| set.get(dependency).is_some()));
        assert!(!ready.is_empty());
        set = set.with(ready).unwrap();
        waiting = later;
    }
    while !set.is_empty() {
        let free: Vec<_> =
            set.models().map(|m| m.id.clone()).filter(|id| set.referenced_by(id).is_empty()).collect();
        assert!(!free.is_empty());
        set = set.without(&free).unwrap();
    }
    assert!(set.get(&id("dtmi:none;1")).is_none());
}

#[expect(clippy::disallowed_methods, reason = "a figure for the reader of the test's output")]
fn timer() -> impl Fn() -> Duration {
    let started = std::time::Instant::now();
    move || started.elapsed()
}
