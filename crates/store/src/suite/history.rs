//! What twins and relationships were.

use std::sync::Arc;

use pollux_model::Timestamp;
use pollux_model::digital_twin::{DigitalTwin, Past, PastVersion, Relationship};

use super::fixtures::{moment, name, past_relationship, past_twin, put_version, relationship};
use super::{Backend, all_pages, commit};
use crate::batch::Write;
use crate::history::Span;
use crate::store::Store;
use crate::twins::{Direction, after_relationship};

const TWINS: &str = "twins-one";

async fn filled(backend: &dyn Backend) -> Arc<dyn Store> {
    let store = backend.open().await;
    let versions = [
        past_twin("a", "1", 1, 4),
        past_twin("a", "2", 4, 4),
        past_twin("a", "3", 4, 9),
        past_twin("b", "1", 2, 6),
        past_twin("c\0", "1", 7, 8),
        past_relationship(relationship("a", "e", "b"), 3, 6),
        past_relationship(relationship("b", "e", "a"), 3, 5),
        past_relationship(relationship("b", "f", "b"), 4, 6),
    ];
    commit(&*store, versions.map(|version| put_version(TWINS, version))).await;
    commit(&*store, [put_version("twins-two", past_twin("a", "x", 1, 99))]).await;
    store
}

pub(super) async fn versions_come_in_the_order_they_ended(backend: Arc<dyn Backend>) {
    let store = filled(&*backend).await;
    let twins = name(TWINS);
    for limit in [1, 2, 9] {
        let found = all_pages(limit, async |after: Option<String>| {
            store.versions(&twins, "a", None, after.as_deref(), limit).await
        });
        let tags: Vec<PastVersion> = found.await;
        assert_eq!(tags, [past_twin("a", "1", 1, 4), past_twin("a", "2", 4, 4), past_twin("a", "3", 4, 9)]);
    }
    let of = store.versions(&twins, "b", Some("e"), None, 9).await.expect("versions").items;
    assert_eq!(of, [past_relationship(relationship("b", "e", "a"), 3, 5)]);
    assert_eq!(store.versions(&twins, "nobody", None, None, 9).await.expect("versions").items, []);
    // The same version again, as when a batch is repeated: it is there once.
    commit(&*store, [put_version(TWINS, past_twin("b", "1", 2, 6))]).await;
    assert_eq!(store.versions(&twins, "b", None, None, 9).await.expect("versions").items.len(), 1);
}

pub(super) async fn what_stood_at_a_moment(backend: Arc<dyn Backend>) {
    let store = filled(&*backend).await;
    let twins = name(TWINS);
    let standing = async |at: i64, ids: Option<&[String]>, span: Span<'_>| {
        let found = store.twins_at(&twins, moment(at), ids, span, 9).await.expect("twins").items;
        found.into_iter().map(|twin: DigitalTwin| (twin.id, twin.etag.to_string())).collect::<Vec<_>>()
    };
    let pair = |id: &str, tag: &str| (id.to_owned(), tag.to_owned());
    let all = Span::default();
    assert_eq!(standing(0, None, all).await, []);
    assert_eq!(standing(3, None, all).await, [pair("a", "1"), pair("b", "1")]);
    assert_eq!(standing(4, None, all).await, [pair("a", "3"), pair("b", "1")]);
    assert_eq!(standing(7, None, all).await, [pair("a", "3"), pair("c\0", "1")]);
    assert_eq!(standing(9, None, all).await, []);
    let ids = ["b".to_owned(), "c\0".to_owned()];
    assert_eq!(standing(4, Some(&ids), all).await, [pair("b", "1")]);
    assert_eq!(standing(4, Some(&[]), all).await, []);
    assert_eq!(standing(4, None, Span { after: Some("a"), last: None }).await, [pair("b", "1")]);
    assert_eq!(standing(4, None, Span { after: None, last: Some("a") }).await, [pair("a", "3")]);

    let edges = async |at: i64, end: Option<(&str, Direction)>, span: Span<'_>| {
        let found =
            store.relationships_at(&twins, moment(at), end, span, 9).await.expect("relationships").items;
        found.into_iter().map(|edge: Relationship| edge.source + &edge.id).collect::<Vec<_>>()
    };
    assert_eq!(edges(4, None, all).await, ["ae", "be", "bf"]);
    assert_eq!(edges(5, None, all).await, ["ae", "bf"]);
    assert_eq!(edges(4, Some(("b", Direction::Outgoing)), all).await, ["be", "bf"]);
    assert_eq!(edges(4, Some(("b", Direction::Incoming)), all).await, ["ae", "bf"]);
    let (first, second) = (after_relationship("a", "e"), after_relationship("b", "e"));
    let span = Span { after: Some(&first), last: Some(&second) };
    assert_eq!(edges(4, None, span).await, ["be"]);
    assert_eq!(edges(4, Some(("b", Direction::Incoming)), span).await, [""; 0]);
    let paged = all_pages(1, async |after: Option<String>| {
        let span = Span { after: after.as_deref(), last: None };
        store.relationships_at(&twins, moment(4), None, span, 1).await
    });
    assert_eq!(paged.await.len(), 3);
}

pub(super) async fn what_ended_long_ago_is_forgotten(backend: Arc<dyn Backend>) {
    let store = filled(&*backend).await;
    let twins = name(TWINS);
    let forget = |before: Timestamp, most| Write::ForgetVersions { twins: twins.clone(), before, most };
    let ended = async |before| store.ended_before(&twins, before).await.expect("an answer");
    assert!(!ended(moment(4)).await && ended(moment(5)).await);
    commit(&*store, [forget(moment(6), 1)]).await;
    assert!(ended(moment(6)).await, "one at a time");
    commit(&*store, [forget(moment(6), 9)]).await;
    assert!(!ended(moment(6)).await && ended(moment(7)).await);
    let left = store.versions(&twins, "a", None, None, 9).await.expect("versions").items;
    assert_eq!(left, [past_twin("a", "3", 4, 9)]);
    let other = store.versions(&name("twins-two"), "a", None, None, 9).await.expect("versions").items;
    assert!(
        matches!(&other[..], [PastVersion { was: Past::Twin(_), .. }]),
        "another instance's is not touched"
    );
}
