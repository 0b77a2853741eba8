//! An index on a property gives at least what is looked for, whatever documents hold. A store that has none passes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::{moment, name, put_twin, twin};
use super::{Backend, all_pages, commit};
use crate::property_indexes::{IndexedProperty, Made, MostIndexes, PropertyIndex, ValueKind, Values};
use crate::store::DynStore;

const MOST: MostIndexes = MostIndexes { of_instance: 2, in_all: 3 };

fn property(path: &[&str], kind: ValueKind) -> IndexedProperty {
    let path = path.iter().map(ToString::to_string).collect();
    IndexedProperty::new(path, kind).expect("these names are plain")
}

/// Values that are hard to keep in an index.
fn values() -> Vec<Value> {
    vec![
        json!("a"),
        json!(""),
        json!("a\0b"),
        json!("a\u{1}"),
        json!("\u{1}"),
        json!("a\\u0000"),
        json!("é".repeat(100)),
        json!("\u{10ffff}"),
        json!("x".repeat(4096)),
        json!("true"),
        json!(true),
        json!(false),
        json!(null),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(-1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(1.797_693_134_862_315_7e308),
        json!(5e-324),
        json!([1, "a"]),
        json!({ "x": 1 }),
        (0..100).fold(json!("a"), |inner, _| json!([inner])),
    ]
}

fn asked() -> Vec<Values> {
    let text = |text: &str| text.to_owned();
    vec![
        Values::Texts(vec![text("a"), text("true"), text("a\0b"), "é".repeat(100)]),
        Values::Texts(vec![text("x' OR '1'='1")]),
        Values::TextsBetween(None, Some(text("a\0z"))),
        Values::TextsBetween(Some(text("a\u{1}")), None),
        Values::TextsWith(text("")),
        Values::TextsWith(text("\u{10ffff}")),
        Values::TextsWith("é".repeat(80)),
        Values::Numbers(vec![0.0, 1.0, 1.844_674_407_370_955_2e19]),
        Values::NumbersBetween(f64::NEG_INFINITY, 0.0),
        Values::NumbersBetween(1.0, f64::INFINITY),
        Values::NumbersBetween(5e-324, 5e-324),
    ]
}

/// The index on a property, if this store has such.
async fn made(store: &DynStore, property: &IndexedProperty) -> Option<PropertyIndex> {
    let twins = name("twins-one");
    match store.make_property_index(&twins, property, MOST, moment(5)).await.expect("made") {
        Made::Never => return None,
        made => assert_eq!(made, Made::Ready),
    }
    let all = store.property_indexes().await.expect("indexes");
    let index = all.into_iter().find(|index| index.property == *property).expect("it is listed");
    assert_eq!((&index.twins, index.used), (&twins, moment(5)));
    Some(index)
}

pub(super) async fn an_index_gives_at_least_what_is_looked_for(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let put = async |number: usize, value: Value| {
        let mut twin = twin(&format!("t{number:02}"), ["dtmi:m;1", "dtmi:n;1"][number % 2]);
        twin.document = json!({ "x": value, "in": { "x": [value.clone()] }, "y\0": "\\" });
        twin.document["in"]["y"] = value;
        commit(&*store, [put_twin("twins-one", twin)]).await;
    };
    let values = values();
    // Some before there is an index, some after.
    for (number, value) in values.iter().enumerate().step_by(2) {
        put(number, value.clone()).await;
    }
    let mut indexes = Vec::new();
    for path in [&["x"][..], &["in", "y"]] {
        for kind in [ValueKind::Text, ValueKind::Number] {
            if indexes.len() < MOST.of_instance {
                indexes.extend(made(&store, &property(path, kind)).await);
            }
        }
    }
    if indexes.is_empty() {
        return;
    }
    for (number, value) in values.iter().enumerate().skip(1).step_by(2) {
        put(number, value.clone()).await;
    }
    for index in &indexes {
        check(&store, index).await;
    }
    // One that is gone gives nothing, and says so.
    let gone = &indexes[0];
    store.drop_property_index(gone).await.expect("dropped");
    store.drop_property_index(gone).await.expect("twice is once");
    let found = store.twins_by_value(gone, &asked()[0], None, None, 10).await;
    assert!(gone.property.kind() == ValueKind::Text && found.expect("asked").is_none());
    store.keep_property_index(gone, moment(9)).await.expect("nothing to keep");
}

async fn check(store: &DynStore, index: &PropertyIndex) {
    let all =
        store.twins(&index.twins, &crate::twins::TwinFilter::default(), None, 100).await.expect("twins");
    let models = ["dtmi:n;1".to_owned()];
    for asked in asked().iter().filter(|asked| asked.kind() == index.property.kind()) {
        for models in [None, Some(&models[..])] {
            let looked_for = all.items.iter().filter(|twin| {
                models.is_none_or(|models| models.contains(&twin.model))
                    && index.property.of(&twin.document).is_some_and(|value| asked.admit(value))
            });
            let looked_for: Vec<_> = looked_for.map(|twin| &twin.id).collect();
            for limit in [1, 3, 100] {
                let found = all_pages(limit, |after| async move {
                    let page = store.twins_by_value(index, asked, models, after.as_deref(), limit).await?;
                    Ok(page.expect("there is an index"))
                })
                .await;
                assert!(found.is_sorted_by(|left, right| left.id < right.id), "{asked:?}");
                let found: Vec<_> = found.iter().map(|twin| &twin.id).collect();
                let missed = looked_for.iter().find(|id| !found.contains(id));
                assert!(missed.is_none(), "{asked:?} of {models:?} misses {missed:?}: {found:?}");
            }
        }
    }
}

pub(super) async fn there_are_as_many_as_there_may_be(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let make = async |twins: &str, path: &str| {
        let property = property(&[path], ValueKind::Number);
        store.make_property_index(&name(twins), &property, MOST, moment(1)).await.expect("made")
    };
    if make("twins-one", "a").await == Made::Never {
        assert_eq!(store.property_indexes().await.expect("indexes"), []);
        return;
    }
    assert_eq!(make("twins-one", "a").await, Made::Ready);
    assert_eq!(make("twins-one", "b").await, Made::Ready);
    assert_eq!(make("twins-one", "c").await, Made::Full);
    assert_eq!(make("twins-two", "a").await, Made::Ready);
    assert_eq!(make("twins-two", "b").await, Made::Full);
    let all = store.property_indexes().await.expect("indexes");
    assert_eq!(all.len(), 3);
    store.keep_property_index(&all[0], moment(7)).await.expect("kept");
    store.drop_property_index(&all[1]).await.expect("dropped");
    let left = store.property_indexes().await.expect("indexes");
    assert_eq!(left, [PropertyIndex { used: moment(7), ..all[0].clone() }, all[2].clone()]);
    drop(store);
    // They are there after a restart.
    let store = backend.open().await;
    assert_eq!(store.property_indexes().await.expect("indexes"), left);
}
