//! Pages: in key order, disjoint, complete, never longer than asked for.

use std::sync::Arc;

use pollux_model::OwnerName;
use pollux_model::registration::RegistrationStatus;

use super::fixtures::{
    dead_letter, device, enrollment, enrollment_group, name, put_device, put_registration, put_relationship,
    put_twin, registration, relationship, twin,
};
use super::{Backend, all_pages, commit};
use crate::batch::{Expect, Write};
use crate::store::{DynStore, Store};
use crate::twins::{Direction, TwinFilter};

/// Ids whose order by bytes is not the order of a dictionary.
const IDS: [&str; 7] = ["-", "10", "9", "A", "B", "_", "a"];
const LIMITS: [usize; 5] = [1, 2, 3, 7, 100];

pub(super) async fn pages_are_in_order_whole_and_disjoint(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let (hub, dps, twins) = (&name("hub-one"), &name("dps-one"), &name("twins-one"));
    commit(&*store, IDS.iter().rev().map(|id| put_device("hub-one", device(id)))).await;
    commit(&*store, IDS.iter().rev().map(|id| put_twin("twins-one", twin(id, "dtmi:m;1")))).await;
    // Neighbours in the tables must not leak in.
    commit(&*store, [put_device("hub-onf", device("x")), put_device("hub-on", device("x"))]).await;
    for limit in LIMITS {
        let all = all_pages(limit, async |after| store.devices(hub, after.as_deref(), limit).await).await;
        assert_eq!(all, IDS.map(device));
        let filter = &TwinFilter::default();
        let all =
            all_pages(limit, async |after| store.twins(twins, filter, after.as_deref(), limit).await).await;
        assert_eq!(all, IDS.map(|id| twin(id, "dtmi:m;1")));
    }
    let folded = ["-", "10", "9", "a", "b", "c-d", "c_d"];
    let singles = folded.iter().rev().map(|id| Write::PutEnrollment {
        dps: dps.clone(),
        enrollment: Box::new(enrollment(if id.ends_with("_d") { "cc" } else { id })),
        expect: Expect::Any,
    });
    commit(&*store, singles).await;
    let groups = folded.iter().rev().map(|id| Write::PutEnrollmentGroup {
        dps: dps.clone(),
        group: Box::new(enrollment_group(&id.to_uppercase())),
        expect: Expect::Any,
    });
    commit(&*store, groups).await;
    for limit in LIMITS {
        let all = all_pages(limit, async |after| store.enrollments(dps, after.as_deref(), limit).await).await;
        let ids: Vec<_> = all.iter().map(|enrollment| enrollment.registration_id.as_str()).collect();
        assert_eq!(ids, ["-", "10", "9", "a", "b", "c-d", "cc"]);
        let all =
            all_pages(limit, async |after| store.enrollment_groups(dps, after.as_deref(), limit).await).await;
        let ids: Vec<_> = all.iter().map(|group| group.id.to_lowercase()).collect();
        assert_eq!(ids, folded);
    }
}

pub(super) async fn a_page_survives_changes_between(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    commit(&*store, ["b", "d", "f", "h"].map(|id| put_device("hub-one", device(id)))).await;
    let first = store.devices(&hub, None, 2).await.expect("devices");
    let next = first.next.expect("there is more");
    // The last one seen goes, one comes before and one behind the mark.
    let gone = Write::DeleteDevice {
        hub: hub.clone(),
        id: super::fixtures::device_id("d").into(),
        identity: Expect::Present,
    };
    commit(&*store, [gone, put_device("hub-one", device("a")), put_device("hub-one", device("e"))]).await;
    let second = store.devices(&hub, Some(&next), 10).await.expect("devices");
    assert_eq!(second.items, ["e", "f", "h"].map(device));
    assert_eq!(second.next, None);
}

pub(super) async fn filters_page_too(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    registrations(&store).await;
    dead_letters(&store).await;
    let twins = &name("twins-one");
    let of_model = |n: usize| format!("dtmi:m{};1", n % 3);
    commit(&*store, (10..40).map(|n| put_twin("twins-one", twin(&format!("t{n}"), &of_model(n))))).await;
    for limit in LIMITS {
        for models in [vec![0], vec![0, 2], vec![2, 0, 2], vec![]] {
            let filter =
                &TwinFilter { models: Some(models.iter().map(|n| of_model(*n)).collect()), ids: None };
            let all =
                all_pages(limit, async |after| store.twins(twins, filter, after.as_deref(), limit).await)
                    .await;
            let matching = all.iter().filter(|twin| matches(filter, &twin.model));
            let ids: Vec<_> = matching.map(|twin| twin.id.clone()).collect();
            let expected: Vec<_> =
                (10..40).filter(|n| models.contains(&(n % 3))).map(|n| format!("t{n}")).collect();
            assert_eq!(ids, expected, "models {models:?}, limit {limit}");
        }
        let ids = ["t39", "none", "t10", "t39", "t20"].map(ToOwned::to_owned).to_vec();
        let filter = &TwinFilter { ids: Some(ids), models: None };
        let all =
            all_pages(limit, async |after| store.twins(twins, filter, after.as_deref(), limit).await).await;
        let ids: Vec<_> = all.iter().map(|twin| twin.id.as_str()).collect();
        assert_eq!(ids, ["t10", "t20", "t39"]);
    }
}

fn matches(filter: &TwinFilter, model: &String) -> bool {
    filter.models.as_ref().is_none_or(|models| models.contains(model))
}

async fn registrations(store: &DynStore) {
    use RegistrationStatus::{Assigned, Assigning, Disabled, Failed, Unassigned};
    let dps = &name("dps-one");
    let record = |n: usize| {
        let status = [Assigned, Assigning, Failed, Unassigned, Disabled][n % 5];
        registration(&format!("r{n}"), [Some("One"), Some("Two"), None][n % 3], status)
    };
    commit(&**store, (10..40).rev().map(|n| put_registration("dps-one", record(n)))).await;
    commit(&**store, (10..40).map(|n| put_registration("dps-two", record(n)))).await;
    for limit in LIMITS {
        for (at, group) in ["one", "TWO"].iter().enumerate() {
            let read = async |after: Option<String>| {
                store.registrations_of_group(dps, group, after.as_deref(), limit).await
            };
            let expected: Vec<_> = (10..40).filter(|n| n % 3 == at).map(record).collect();
            assert_eq!(all_pages(limit, read).await, expected);
        }
        for (at, status) in [Assigned, Assigning, Failed, Unassigned, Disabled].into_iter().enumerate() {
            let read = async |after: Option<String>| {
                store.registrations_in(dps, status, after.as_deref(), limit).await
            };
            let expected: Vec<_> = (10..40).filter(|n| n % 5 == at).map(record).collect();
            assert_eq!(all_pages(limit, read).await, expected);
        }
    }
}

async fn dead_letters(store: &DynStore) {
    let app = &OwnerName::from(name("functions-one"));
    let letters = (0..12).map(|n| {
        let mut letter = dead_letter(n);
        letter.function = if n % 2 == 0 { "ingest" } else { "retire" }.to_owned();
        Write::PutDeadLetter { letter: Box::new(letter) }
    });
    commit(&**store, letters).await;
    for limit in LIMITS {
        for (function, expected) in
            [(None, 0..12), (Some("ingest"), 0..6), (Some("retire"), 0..6), (Some("none"), 0..0)]
        {
            let all = all_pages(limit, async |after| {
                store.dead_letters(app, function, after.as_deref(), limit).await
            })
            .await;
            assert_eq!(all.len(), expected.len());
            assert!(all.is_sorted_by(|a, b| a.id < b.id));
            assert!(all.iter().all(|letter| function.is_none_or(|function| letter.function == function)));
        }
    }
    commit(&**store, [Write::KeepDeadLetters { app: app.clone(), newest: 5 }]).await;
    let kept = store.dead_letters(app, None, None, 100).await.expect("dead letters").items;
    assert_eq!(kept.iter().map(|letter| letter.sequence_number).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
}

pub(super) async fn relationships_page_both_ways(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let twins = &name("twins-one");
    let ids = ["a", "a\u{1}", "a\"", "a,b", "b"];
    commit(&*store, ids.map(|id| put_twin("twins-one", twin(id, "dtmi:m;1")))).await;
    let mut expected = Vec::new();
    for source in ids {
        for target in ids {
            for name in ["contains", "feeds"] {
                let mut edge = relationship(source, &format!("{name}-{target}"), target);
                edge.name = name.to_owned();
                expected.push(edge);
            }
        }
    }
    commit(&*store, expected.iter().rev().map(|edge| put_relationship("twins-one", edge.clone()))).await;
    expected.sort_by(|a, b| (&a.source, &a.id).cmp(&(&b.source, &b.id)));
    for limit in LIMITS {
        let all =
            all_pages(limit, async |after| store.relationships(twins, after.as_deref(), limit).await).await;
        assert_eq!(all, expected);
        for twin in ids {
            for name in [None, Some("feeds")] {
                let named = |edge: &&Edge| name.is_none_or(|name| edge.name == name);
                let of = async |direction| pages_of(&*store, twin, direction, name, limit).await;
                let out: Vec<_> =
                    expected.iter().filter(|edge| edge.source == twin).filter(named).cloned().collect();
                assert_eq!(of(Direction::Outgoing).await, out);
                let into: Vec<_> =
                    expected.iter().filter(|edge| edge.target == twin).filter(named).cloned().collect();
                assert_eq!(of(Direction::Incoming).await, into);
            }
        }
    }
}

type Edge = pollux_model::digital_twin::Relationship;

async fn pages_of(
    store: &dyn Store,
    twin: &str,
    direction: Direction,
    name: Option<&str>,
    limit: usize,
) -> Vec<Edge> {
    let twins = &super::fixtures::name("twins-one");
    all_pages(limit, async |after: Option<String>| {
        store.relationships_of(twins, twin, direction, name, after.as_deref(), limit).await
    })
    .await
}
