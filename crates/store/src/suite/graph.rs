//! Twins and their relationships hold together.

use std::sync::Arc;

use super::fixtures::{name, put_relationship, put_twin, relationship, twin};
use super::{Backend, commit, refused};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::twins::{Direction, TwinFilter, after_relationship};

fn delete_twin(id: &str) -> Write {
    Write::DeleteTwin { twins: name("twins-one"), id: id.to_owned(), expect: Expect::Present }
}

fn delete_relationship(source: &str, id: &str) -> Write {
    Write::DeleteRelationship {
        twins: name("twins-one"),
        source: source.to_owned(),
        id: id.to_owned(),
        expect: Expect::Present,
    }
}

pub(super) async fn a_twin_with_relationships_stays(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, ["a", "b", "c"].map(|id| put_twin("twins-one", twin(id, "dtmi:m;1")))).await;
    let edges = [relationship("a", "e", "b"), relationship("c", "self", "c")];
    commit(&*store, edges.map(|edge| put_relationship("twins-one", edge))).await;
    // Outgoing, incoming, and one to itself.
    for id in ["a", "b", "c"] {
        assert_eq!(refused(&*store, [delete_twin(id)]).await, (0, Mismatch::HasRelationships));
    }
    // The same ids in another instance do not count.
    commit(&*store, [put_twin("twins-two", twin("a", "dtmi:m;1"))]).await;
    let other = Write::DeleteTwin { twins: name("twins-two"), id: "a".to_owned(), expect: Expect::Present };
    commit(&*store, [other]).await;
    commit(&*store, [delete_relationship("a", "e"), delete_twin("b"), delete_twin("a")]).await;
    commit(&*store, [delete_relationship("c", "self"), delete_twin("c")]).await;
    assert_eq!(store.count_twins(&name("twins-one"), None).await.expect("count"), 0);
}

pub(super) async fn a_relationship_needs_both_ends(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [put_twin("twins-one", twin("a", "dtmi:m;1"))]).await;
    commit(&*store, [put_twin("twins-two", twin("b", "dtmi:m;1"))]).await;
    let put = |source, target| put_relationship("twins-one", relationship(source, "e", target));
    assert_eq!(refused(&*store, [put("a", "b")]).await, (0, Mismatch::NoTarget));
    assert_eq!(refused(&*store, [put("b", "a")]).await, (0, Mismatch::NoSource));
    assert_eq!(refused(&*store, [put("x", "y")]).await, (0, Mismatch::NoSource));
    let late = [put("a", "b"), put_twin("twins-one", twin("b", "dtmi:m;1"))];
    assert_eq!(refused(&*store, late).await, (0, Mismatch::NoTarget));
    let early = [put_twin("twins-one", twin("b", "dtmi:m;1")), put("a", "b")];
    commit(&*store, early).await;
}

pub(super) async fn a_relationship_can_change_its_target(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = name("twins-one");
    commit(&*store, ["a", "b", "c"].map(|id| put_twin("twins-one", twin(id, "dtmi:m;1")))).await;
    commit(&*store, [put_relationship("twins-one", relationship("a", "e", "b"))]).await;
    commit(&*store, [put_relationship("twins-one", relationship("a", "e", "c"))]).await;
    let into = async |twin| {
        store
            .relationships_of(&twins, twin, Direction::Incoming, None, None, 9)
            .await
            .expect("relationships")
            .items
    };
    assert_eq!(into("b").await, []);
    assert_eq!(into("c").await, [relationship("a", "e", "c")]);
    commit(&*store, [delete_twin("b")]).await;
    assert_eq!(refused(&*store, [delete_twin("c")]).await, (0, Mismatch::HasRelationships));
}

pub(super) async fn filters_give_at_least_what_matches(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = name("twins-one");
    let put = |(id, model)| put_twin("twins-one", twin(id, model));
    commit(&*store, [("a", "dtmi:m;1"), ("b", "dtmi:n;1"), ("c", "dtmi:m;1"), ("d", "dtmi:o;1")].map(put))
        .await;
    let text = |list: &[&str]| Some(list.iter().map(|&item| item.to_owned()).collect::<Vec<_>>());
    // Ids and models together; nothing; more models than an index helps with.
    let many: Vec<String> = (0..500).map(|n| format!("dtmi:x{n};1")).chain(["dtmi:m;1".to_owned()]).collect();
    for (ids, models, expected) in [
        (text(&["a", "b", "x"]), text(&["dtmi:m;1"]), vec!["a"]),
        (text(&[]), None, vec![]),
        (None, text(&["dtmi:n;1", "dtmi:o;1"]), vec!["b", "d"]),
        (None, Some(many), vec!["a", "c"]),
        (None, None, vec!["a", "b", "c", "d"]),
    ] {
        let filter = TwinFilter { ids, models };
        let page = store.twins(&twins, &filter, None, 100).await.expect("twins");
        let matching = page.items.iter().filter(|twin| {
            filter.ids.as_ref().is_none_or(|ids| ids.contains(&twin.id))
                && filter.models.as_ref().is_none_or(|models| models.contains(&twin.model))
        });
        assert_eq!(matching.map(|twin| twin.id.as_str()).collect::<Vec<_>>(), expected);
    }
    let count = async |models: &[&str]| {
        let models: Vec<String> = models.iter().map(|&model| model.to_owned()).collect();
        store.count_twins(&twins, Some(&models)).await.expect("count")
    };
    assert_eq!(count(&["dtmi:m;1"]).await, 2);
    assert_eq!(count(&["dtmi:m;1", "dtmi:m;1", "dtmi:n;1", "dtmi:none;1"]).await, 3);
    assert_eq!(count(&[]).await, 0);
    assert_eq!(store.count_twins(&twins, None).await.expect("count"), 4);
}

pub(super) async fn relationships_of_several_twins_come_at_once(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = name("twins-one");
    commit(&*store, ["a", "b", "c", "d"].map(|id| put_twin("twins-one", twin(id, "dtmi:m;1")))).await;
    let edges = [
        ("a", "1", "b"),
        ("a", "2", "c"),
        ("a", "3", "a"),
        ("c", "1", "a"),
        ("c", "2", "b"),
        ("d", "1", "b"),
    ];
    for (number, (source, id, target)) in edges.into_iter().enumerate() {
        let mut edge = relationship(source, id, target);
        edge.name = ["odd", "even"][number % 2].to_owned();
        commit(&*store, [put_relationship("twins-one", edge)]).await;
    }
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<String>>();
    let ask = async |ends: &[&str], direction, names: &[&str], after: Option<(&str, &str)>, limit| {
        let after = after.map(|(source, id)| after_relationship(source, id));
        let found = store
            .related(&twins, &list(ends), direction, &list(names), after.as_deref(), limit)
            .await
            .expect("related");
        let shown = |list: &Vec<_>| {
            let one = |edge: &pollux_model::digital_twin::Relationship| format!("{}{}", edge.source, edge.id);
            list.iter().map(one).collect::<Vec<_>>().join(",")
        };
        (found.of.iter().map(shown).collect::<Vec<_>>().join(" | "), found.next.is_some())
    };
    let (out, into) = (Direction::Outgoing, Direction::Incoming);
    assert_eq!(ask(&["c", "b", "a"], out, &[], None, 9).await, ("c1,c2 |  | a1,a2,a3".to_owned(), false));
    assert_eq!(ask(&["b", "a", "x"], into, &[], None, 9).await, ("a1,c2,d1 | a3,c1 | ".to_owned(), false));
    assert_eq!(ask(&["a", "c"], out, &["even"], None, 9).await, ("a2 | c1".to_owned(), false));
    assert_eq!(
        ask(&["a", "c"], out, &["even", "odd"], Some(("a", "1")), 9).await,
        ("a2,a3 | c1,c2".to_owned(), false)
    );
    assert_eq!(ask(&["b", "a"], into, &[], Some(("c", "1")), 9).await, ("c2,d1 | a3,c1".to_owned(), false));
    // What the limit cuts off is said: in the middle of a twin, between two, at the end.
    assert_eq!(ask(&["a", "c"], out, &[], None, 2).await, ("a1,a2".to_owned(), true));
    assert_eq!(ask(&["a", "c"], out, &[], None, 4).await, ("a1,a2,a3 | c1".to_owned(), true));
    assert_eq!(ask(&["a", "c"], out, &[], None, 0).await, ("a1".to_owned(), true));
    let (between, more) = ask(&["a", "c", "d"], out, &[], None, 3).await;
    assert!(between == "a1,a2,a3" && !more, "{between}");
    assert_eq!(ask(&["a", "c"], out, &[], None, 5).await, ("a1,a2,a3 | c1,c2".to_owned(), false));
    assert_eq!(ask(&[], out, &[], None, 5).await, (String::new(), false));
}
