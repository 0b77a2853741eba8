//! Many rows in one batch, and many ids in one question.

use std::sync::Arc;

use super::fixtures::{etag, name, relationship, twin};
use super::{Backend, commit, refused};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::twins::Direction;

/// More than any backend asks one by one.
const MANY: usize = 200;

fn new_twin(number: usize) -> Write {
    let twin = Box::new(twin(&format!("t\u{1}{number}\0"), &format!("dtmi:m{};1", number % 2)));
    Write::PutTwin { twins: name("twins-x"), twin, expect: Expect::Absent }
}

fn id(number: usize) -> String {
    format!("t\u{1}{number}\0")
}

fn new_relationship(from: usize, to: usize) -> Write {
    let relationship = Box::new(relationship(&id(from), "e", &id(to)));
    Write::PutRelationship { twins: name("twins-x"), relationship, expect: Expect::Absent }
}

pub(super) async fn many_rows_go_in_one_batch(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = (0..MANY).map(new_twin);
    let relationships = (0..MANY - 1).map(|number| new_relationship(number, number + 1));
    // In one batch, with others between: later writes see the earlier ones.
    let single = Write::PutTwin {
        twins: name("twins-y"),
        twin: Box::new(twin("one", "dtmi:m;1")),
        expect: Expect::Absent,
    };
    commit(&*store, twins.chain([single]).chain(relationships)).await;
    let x = name("twins-x");
    assert_eq!(store.count_twins(&x, None).await.expect("count"), MANY as u64);
    assert_eq!(store.count_relationships(&x).await.expect("count"), MANY as u64 - 1);
    assert_eq!(store.count_relationships(&name("twins-y")).await.expect("count"), 0);
    let found = store.twin(&x, &id(7)).await.expect("twin");
    assert_eq!(found, Some(twin(&id(7), "dtmi:m1;1")));
    let found = store.relationship(&x, &id(7), "e").await.expect("relationship");
    assert_eq!(found, Some(relationship(&id(7), "e", &id(8))));
}

pub(super) async fn one_of_many_that_is_refused_is_named(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    commit(&*store, [new_twin(50)]).await;
    assert_eq!(refused(&*store, (0..MANY).map(new_twin)).await, (50, Mismatch::Exists));
    assert_eq!(store.count_twins(&name("twins-x"), None).await.expect("count"), 1, "nothing of it is kept");
    let twice = (0..MANY).map(|number| new_twin(number % 150 + 1000));
    assert_eq!(refused(&*store, twice).await, (150, Mismatch::Exists));
    commit(&*store, (0..40).map(new_twin)).await;
    let edges = |broken: (usize, usize)| {
        (0..30).map(move |number| if number == 20 { broken } else { (number, number + 1) })
    };
    let batch = |broken| edges(broken).map(|(from, to)| new_relationship(from, to));
    assert_eq!(refused(&*store, batch((900, 1))).await, (20, Mismatch::NoSource));
    assert_eq!(refused(&*store, batch((20, 900))).await, (20, Mismatch::NoTarget));
    commit(&*store, batch((20, 21))).await;
    assert_eq!(refused(&*store, [new_relationship(5, 6)]).await, (0, Mismatch::Exists));
    // What has an expectation of its own is no part of a run.
    let mut other = twin(&id(3), "dtmi:other;1");
    other.etag = etag("new");
    let put = Write::PutTwin { twins: name("twins-x"), twin: Box::new(other), expect: Expect::Present };
    commit(&*store, (1000..1030).map(new_twin).chain([put]).chain((1030..1060).map(new_twin))).await;
    let found = store.twin(&name("twins-x"), &id(3)).await.expect("twin").expect("it is there");
    assert_eq!(found.model, "dtmi:other;1");
}

pub(super) async fn what_is_there_is_told_in_order(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let x = name("twins-x");
    commit(&*store, (0..4).map(new_twin).chain([new_relationship(1, 2), new_relationship(2, 3)])).await;
    let asked = [id(3), id(9), id(0), id(3)];
    let models = store.models_of_twins(&x, &asked).await.expect("models");
    let model = |text: &str| Some(text.to_owned());
    assert_eq!(models, [model("dtmi:m1;1"), None, model("dtmi:m0;1"), model("dtmi:m1;1")]);
    assert_eq!(store.models_of_twins(&x, &[]).await.expect("models"), []);
    let count = async |ids: &[String], direction, most| {
        store.count_relationships_of(&x, ids, direction, most).await.expect("counts")
    };
    let (out, into) = (Direction::Outgoing, Direction::Incoming);
    assert_eq!(count(&[id(3), id(1), id(9), id(1)], out, 9).await, [0, 1, 0, 1]);
    assert_eq!(count(&[id(3), id(1)], into, 9).await, [1, 0]);
    let more = Write::PutRelationship {
        twins: name("twins-x"),
        relationship: Box::new(relationship(&id(1), "f", &id(3))),
        expect: Expect::Absent,
    };
    commit(&*store, [more]).await;
    assert_eq!(count(&[id(1), id(3)], out, 9).await, [2, 0]);
    assert_eq!((count(&[id(3)], into, 9).await, count(&[id(3)], into, 1).await), (vec![2], vec![1]));
    assert!(count(&[], into, 9).await.is_empty());
    let keys = [(id(2), "e".to_owned()), (id(2), "none".to_owned()), (id(1), "e".to_owned())];
    let found = store.relationships_by_id(&x, &keys).await.expect("relationships");
    let targets: Vec<_> = found.into_iter().map(|found| found.map(|found| found.target)).collect();
    assert_eq!(targets, [Some(id(3)), None, Some(id(2))]);
    assert_eq!(store.models_of_twins(&name("twins-y"), &[id(3)]).await.expect("models"), [None]);
}
