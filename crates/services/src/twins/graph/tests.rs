//! What the observer makes of commits: of which instances, when a graph is whole, while it is read, and when it goes.

use pollux_model::{Etag, Timestamp};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::{Batch, Expect};
use serde_json::json;

use super::*;

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

fn twin(id: &str, level: i64) -> DigitalTwin {
    DigitalTwin {
        id: id.to_owned(),
        model: "dtmi:a;1".to_owned(),
        etag: Etag::new(&format!("{id}-{level}")),
        document: json!({ "Level": level, "$metadata": { "$model": "dtmi:a;1" } }),
        updated: Timestamp::from_secs(level),
    }
}

fn put(instance: &str, twin: DigitalTwin) -> Write {
    Write::PutTwin { twins: name(instance), twin: Box::new(twin), expect: Expect::Any }
}

fn relate(instance: &str, source: &str, target: &str) -> Write {
    let relationship = Relationship {
        id: "r".to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        name: "above".to_owned(),
        etag: Etag::new("1"),
        properties: json!({}),
        updated: Timestamp::default(),
    };
    Write::PutRelationship {
        twins: name(instance),
        relationship: Box::new(relationship),
        expect: Expect::Any,
    }
}

fn gone(instance: &str) -> Write {
    Write::DeleteResource { kind: ResourceKind::Twins, name: name(instance), expect: Expect::Any }
}

fn store() -> (DynStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
    (Arc::new(store), folder)
}

fn observing(store: &DynStore) -> Graphs {
    let inner = Inner::new(1 << 20, Weak::new());
    let observer: Weak<Inner> = Arc::downgrade(&inner);
    assert!(store.observe(observer));
    Graphs { inner }
}

fn level(graphs: &Graphs, instance: &str, id: &str) -> Option<DigitalTwin> {
    let graph = graphs.read(&name(instance))?;
    graph.find(id)?.1.stored()
}

#[tokio::test]
async fn a_commit_is_in_the_graph_when_it_is_acknowledged() {
    let (store, _folder) = store();
    let graphs = observing(&store);
    store.commit(Batch::from(put("one", twin("a", 1)))).await.unwrap();
    assert!(graphs.read(&name("one")).is_none(), "nobody wanted it");
    assert_eq!(graphs.settled(&store, &name("one")).await, Presence::Whole);
    assert_eq!(level(&graphs, "one", "a"), Some(twin("a", 1)), "as the store has it");
    let batch = Batch::new()
        .with(put("one", twin("a", 2)))
        .with(put("one", twin("b", 3)))
        .with(relate("one", "a", "b"))
        .with(put("two", twin("c", 4)));
    store.commit(batch).await.unwrap();
    assert_eq!(level(&graphs, "one", "a"), Some(twin("a", 2)));
    assert_eq!(store.twin(&name("one"), "a").await.unwrap(), level(&graphs, "one", "a"));
    assert!(level(&graphs, "one", "c").is_none(), "another instance's");
    let edge = |graphs: &Graphs| graphs.read(&name("one")).unwrap().find_edge("a", "r").is_some();
    assert!(edge(&graphs));
    let refused = Batch::new().with(put("one", twin("a", 5))).with(Write::DeleteTwin {
        twins: name("one"),
        id: "b".to_owned(),
        expect: Expect::Any,
    });
    assert!(store.commit(refused).await.is_err(), "it has a relationship");
    assert_eq!(level(&graphs, "one", "a"), Some(twin("a", 2)), "nothing of what was refused");
    let batch = Batch::new().with(Write::DeleteRelationship {
        twins: name("one"),
        source: "a".to_owned(),
        id: "r".to_owned(),
        expect: Expect::Any,
    });
    let batch = batch.with(Write::DeleteTwin { twins: name("one"), id: "b".to_owned(), expect: Expect::Any });
    store.commit(batch).await.unwrap();
    assert!(!edge(&graphs) && level(&graphs, "one", "b").is_none());
}

#[tokio::test]
async fn an_instance_that_is_deleted_takes_its_graph_with_it() {
    let (store, _folder) = store();
    let graphs = observing(&store);
    store.commit(Batch::from(put("one", twin("a", 1)))).await.unwrap();
    graphs.settled(&store, &name("one")).await;
    store.commit(Batch::new().with(put("one", twin("b", 1))).with(gone("one"))).await.unwrap();
    assert!(graphs.read(&name("one")).is_none());
    store.commit(Batch::from(put("one", twin("c", 1)))).await.unwrap();
    assert_eq!(graphs.settled(&store, &name("one")).await, Presence::Whole);
    assert!(level(&graphs, "one", "a").is_none() && level(&graphs, "one", "c").is_some());
}

/// The load is held up by hand: what is told meanwhile is applied behind what it read, which is older.
#[test]
fn what_is_committed_while_a_graph_is_read_comes_behind_what_was_read() {
    let inner = Inner::new(1 << 20, Weak::new());
    let load = inner.begin(&name("one")).unwrap();
    assert!(inner.begin(&name("one")).is_none(), "one load at a time");
    let told = [put("one", twin("a", 2)), put("two", twin("x", 1)), put("one", twin("b", 1))];
    inner.committed(&mut told.iter());
    let mut read = Graph::default();
    add_twin(&mut read, &twin("a", 1));
    inner.finish(&name("one"), load, Ok(read));
    let graphs = Graphs { inner };
    assert_eq!(level(&graphs, "one", "a"), Some(twin("a", 2)));
    assert!(level(&graphs, "one", "b").is_some() && level(&graphs, "one", "x").is_none());
    assert!(graphs.read(&name("two")).is_none());
}

/// A load that began before its instance was deleted must not bring the old graph back.
#[test]
fn a_load_that_was_overtaken_leaves_nothing() {
    let inner = Inner::new(1 << 20, Weak::new());
    let load = inner.begin(&name("one")).unwrap();
    inner.committed(&mut [gone("one")].iter());
    let next = inner.begin(&name("one")).unwrap();
    let mut read = Graph::default();
    add_twin(&mut read, &twin("a", 1));
    inner.finish(&name("one"), load, Ok(read));
    assert!(matches!(inner.held.read().instances.get(&name("one")), Some(State::Loading { .. })));
    inner.finish(&name("one"), next, Ok(Graph::default()));
    let graphs = Graphs { inner };
    assert_eq!(graphs.read(&name("one")).unwrap().count(None), 0);
}

/// Changing what a twin is indexed by, its model, and nothing of either: what it is found by is right each time, and what
/// the graph is said to take is what it would take if it were made anew.
#[test]
fn a_twin_is_found_by_what_it_is_now() {
    let inner = Inner::new(1 << 20, Weak::new());
    let load = inner.begin(&name("one")).unwrap();
    inner.finish(&name("one"), load, Ok(Graph::default()));
    inner.committed(&mut [put("one", twin("a", 1)), put("one", twin("b", 1))].iter());
    let graphs = Graphs { inner };
    graphs.adopt(&name("one"), "Level");
    let at = |value: i64| {
        let predicate = pollux_query::PropertyPredicate {
            path: vec!["Level".into()],
            op: pollux_query::PredicateOp::Eq,
            value: json!(value),
        };
        let graph = graphs.read(&name("one")).unwrap();
        let found = graph.index("Level").unwrap().nodes(&Wanted::of(&predicate).unwrap(), None, 9);
        found.into_iter().map(|node| graph.node(node).unwrap().id.to_string()).collect::<Vec<_>>()
    };
    let of = |model: &str| graphs.read(&name("one")).unwrap().count(Some(&[model.to_owned()]));
    let told = |twin: DigitalTwin| graphs.inner.committed(&mut [put("one", twin)].iter());
    told(DigitalTwin { etag: Etag::new("same"), ..twin("a", 1) });
    assert_eq!((at(1), of("dtmi:a;1")), (vec!["a".to_owned(), "b".to_owned()], 2));
    told(twin("a", 7));
    assert_eq!((at(1), at(7)), (vec!["b".to_owned()], vec!["a".to_owned()]));
    told(DigitalTwin { model: "dtmi:other;1".to_owned(), ..twin("a", 8) });
    assert_eq!((at(7).len(), at(8).len(), of("dtmi:a;1"), of("dtmi:other;1")), (0, 1, 1, 1));
    told(DigitalTwin { document: json!({}), ..twin("b", 1) });
    assert_eq!((at(1).len(), of("dtmi:a;1")), (0, 1));
    let bytes = graphs.read(&name("one")).unwrap().bytes();
    let mut anew = Graph::default();
    add_twin(&mut anew, &DigitalTwin { model: "dtmi:other;1".to_owned(), ..twin("a", 8) });
    add_twin(&mut anew, &DigitalTwin { document: json!({}), ..twin("b", 1) });
    let index = anew.make_index("Level").unwrap();
    anew.adopt("Level", index, &[]);
    assert_eq!(bytes, anew.bytes());
    assert_eq!(level(&graphs, "one", "b").unwrap().document, json!({}));
}
