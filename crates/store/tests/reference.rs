//! Random batches against a reference that fits on a page: the same answers, the same state, after reopening too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use pollux_store::suite::fixtures::{etag, name, relationship, twin};
use pollux_store::twins::TwinFilter;
use pollux_store::{Batch, CommitError, Expect, Mismatch, Write};
use pollux_testkit::Postgres;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Builder;

const TWINS: &str = "twins-one";

/// What one write does, in a form that can be generated and shown.
#[derive(Debug, Clone)]
enum Step {
    PutTwin { id: u8, tag: u8, expect: Expected },
    DeleteTwin { id: u8, expect: Expected },
    PutRelationship { source: u8, id: u8, target: u8, tag: u8, expect: Expected },
    DeleteRelationship { source: u8, id: u8, expect: Expected },
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Any,
    Absent,
    Present,
    Tag(u8),
}

/// The whole state: twins, and relationships by source and id.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reference {
    twins: BTreeMap<String, DigitalTwin>,
    relationships: BTreeMap<(String, String), Relationship>,
}

impl Reference {
    fn commit(&mut self, steps: &[Step]) -> Result<(), (usize, Mismatch)> {
        let mut next = self.clone();
        for (index, step) in steps.iter().enumerate() {
            next.apply(step).map_err(|mismatch| (index, mismatch))?;
        }
        *self = next;
        Ok(())
    }

    fn apply(&mut self, step: &Step) -> Result<(), Mismatch> {
        match *step {
            Step::PutTwin { id, tag, expect } => {
                let new = new_twin(id, tag);
                expect.check(self.twins.get(&new.id).map(|twin| &*twin.etag))?;
                self.twins.insert(new.id.clone(), new);
            }
            Step::DeleteTwin { id, expect } => {
                let id = id.to_string();
                expect.check(self.twins.get(&id).map(|twin| &*twin.etag))?;
                if self.relationships.values().any(|edge| edge.source == id || edge.target == id) {
                    return Err(Mismatch::HasRelationships);
                }
                self.twins.remove(&id);
            }
            Step::PutRelationship { source, id, target, tag, expect } => {
                let new = new_relationship(source, id, target, tag);
                let key = (new.source.clone(), new.id.clone());
                expect.check(self.relationships.get(&key).map(|edge| &*edge.etag))?;
                if !self.twins.contains_key(&new.source) {
                    return Err(Mismatch::NoSource);
                }
                if !self.twins.contains_key(&new.target) {
                    return Err(Mismatch::NoTarget);
                }
                self.relationships.insert(key, new);
            }
            Step::DeleteRelationship { source, id, expect } => {
                let key = (source.to_string(), id.to_string());
                expect.check(self.relationships.get(&key).map(|edge| &*edge.etag))?;
                self.relationships.remove(&key);
            }
        }
        Ok(())
    }
}

impl Expected {
    fn check(self, found: Option<&str>) -> Result<(), Mismatch> {
        match (self, found) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(_)) => Err(Mismatch::Exists),
            (Self::Present | Self::Tag(_), None) => Err(Mismatch::Absent),
            (Self::Tag(tag), Some(found)) if tag.to_string() == found => Ok(()),
            (Self::Tag(_), Some(_)) => Err(Mismatch::OtherEtag),
        }
    }

    fn store(self) -> Expect {
        match self {
            Self::Any => Expect::Any,
            Self::Absent => Expect::Absent,
            Self::Present => Expect::Present,
            Self::Tag(tag) => Expect::Etag(etag(&tag.to_string())),
        }
    }
}

fn new_twin(id: u8, tag: u8) -> DigitalTwin {
    DigitalTwin { etag: etag(&tag.to_string()), ..twin(&id.to_string(), &format!("dtmi:m{};1", tag % 2)) }
}

fn new_relationship(source: u8, id: u8, target: u8, tag: u8) -> Relationship {
    let edge = relationship(&source.to_string(), &id.to_string(), &target.to_string());
    Relationship { etag: etag(&tag.to_string()), ..edge }
}

fn write(step: &Step) -> Write {
    let twins = name(TWINS);
    match *step {
        Step::PutTwin { id, tag, expect } => {
            Write::PutTwin { twins, twin: Box::new(new_twin(id, tag)), expect: expect.store() }
        }
        Step::DeleteTwin { id, expect } => {
            Write::DeleteTwin { twins, id: id.to_string(), expect: expect.store() }
        }
        Step::PutRelationship { source, id, target, tag, expect } => Write::PutRelationship {
            twins,
            relationship: Box::new(new_relationship(source, id, target, tag)),
            expect: expect.store(),
        },
        Step::DeleteRelationship { source, id, expect } => Write::DeleteRelationship {
            twins,
            source: source.to_string(),
            id: id.to_string(),
            expect: expect.store(),
        },
    }
}

/// Few ids and tags, so that steps meet each other; mostly expectations that can hold.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expect = || {
        prop_oneof![
            6 => Just(Expected::Any),
            1 => Just(Expected::Absent),
            2 => Just(Expected::Present),
            1 => (0..3_u8).prop_map(Expected::Tag),
        ]
    };
    let id = || 0..4_u8;
    let step = prop_oneof![
        4 => (id(), 0..3_u8, expect()).prop_map(|(id, tag, expect)| Step::PutTwin { id, tag, expect }),
        2 => (id(), expect()).prop_map(|(id, expect)| Step::DeleteTwin { id, expect }),
        3 => (id(), 0..2_u8, id(), 0..3_u8, expect()).prop_map(|(source, id, target, tag, expect)| {
            Step::PutRelationship { source, id, target, tag, expect }
        }),
        2 => (id(), 0..2_u8, expect())
            .prop_map(|(source, id, expect)| Step::DeleteRelationship { source, id, expect }),
    ];
    prop::collection::vec(step, 1..5)
}

async fn state(store: &DynStore) -> Reference {
    let twins = store.twins(&name(TWINS), &TwinFilter::default(), None, 100).await.unwrap().items;
    let relationships = store.relationships(&name(TWINS), None, 100).await.unwrap().items;
    Reference {
        twins: twins.into_iter().map(|twin| (twin.id.clone(), twin)).collect(),
        relationships: relationships
            .into_iter()
            .map(|edge| ((edge.source.clone(), edge.id.clone()), edge))
            .collect(),
    }
}

/// Runs the batches on the store that `open` opens, and looks at it once more after opening it again.
async fn run(batches: Vec<Vec<Step>>, open: impl AsyncFn() -> DynStore) -> Result<(), TestCaseError> {
    let mut reference = Reference::default();
    let store = open().await;
    for batch in batches {
        let answer = store.commit(Batch { writes: batch.iter().map(write).collect() }).await;
        let answer = answer.map_err(|error| match error {
            CommitError::Expectation { index, mismatch } => (index, mismatch),
            CommitError::Store(error) => panic!("{error}"),
        });
        prop_assert_eq!(answer, reference.commit(&batch), "{:?}", batch);
        prop_assert_eq!(&state(&store).await, &reference, "{:?}", batch);
    }
    drop(store);
    prop_assert_eq!(state(&open().await).await, reference);
    Ok(())
}

fn check(cases: u32, case: impl FnMut(Vec<Vec<Step>>) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let batches = prop::collection::vec(steps(), 1..24);
    // The runner takes what does not change; the cases are numbered.
    let case = RefCell::new(case);
    if let Err(error) = TestRunner::new(config).run(&batches, |batches| (case.borrow_mut())(batches)) {
        panic!("{error}");
    }
}

#[test]
fn sqlite_does_what_the_reference_does() {
    let runtime = Builder::new_current_thread().build().unwrap();
    check(48, |batches| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pollux.db");
        let open = async || {
            let store: DynStore = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
            store
        };
        runtime.block_on(run(batches, open))
    });
}

#[test]
fn postgres_does_what_the_reference_does() {
    let Some(server) = Postgres::start() else { return };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut number = 0;
    check(24, |batches| {
        number += 1;
        let url = server.create_database(&format!("case{number}"));
        let open = async || {
            let store = PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap();
            let store: DynStore = Arc::new(store);
            store
        };
        runtime.block_on(run(batches, open))
    });
}
