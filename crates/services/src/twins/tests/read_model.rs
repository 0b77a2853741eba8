//! The graph in memory: what it holds when, that it is never behind, and that answers do not depend on it.

use std::sync::atomic::{AtomicUsize, Ordering};

use pollux_model::digital_twin::Relationship;
use pollux_model::resource::ResourceKind;
use pollux_store::{Batch, Expect, Write};

use super::queries::rows;
use super::*;
use crate::twins::{Paging, QueryTwins, Row};

const ALL: &str = "SELECT T FROM DIGITALTWINS T";
const PAIRS: &str =
    "SELECT a.$dtId AS a, r.$relationshipId AS r, b.$dtId AS b FROM DIGITALTWINS MATCH (a)-[r:above]->(b)";

async fn source(world: &World) -> String {
    let explained = rows(world, &format!("EXPLAIN {ALL}"), 10).await.unwrap();
    explained[0]["source"].as_str().unwrap().to_owned()
}

fn level(number: usize) -> Value {
    json!({ "$metadata": { "$model": FLOOR }, "Level": number })
}

async fn floors(world: &World, count: usize) {
    for number in 0..count {
        world.put(&format!("f{number:02}"), level(number)).await.unwrap();
    }
    for number in 1..count {
        let document = json!({ "$relationshipName": "above", "$targetId": format!("f{:02}", number - 1) });
        world.relate(&format!("f{number:02}"), "r", document).await.unwrap();
    }
}

#[tokio::test]
async fn the_first_query_has_the_graph_read_and_later_ones_read_it() {
    let world = World::new().await;
    floors(&world, 5).await;
    let before = (rows(&world, ALL, 2).await.unwrap(), rows(&world, PAIRS, 2).await.unwrap());
    world.remember().await;
    assert_eq!(source(&world).await, "memory");
    assert_eq!((rows(&world, ALL, 2).await.unwrap(), rows(&world, PAIRS, 2).await.unwrap()), before);
    let world = world.again().await;
    assert_eq!(source(&world).await, "store: the graph is being read into memory");
    world.remember().await;
    assert_eq!((rows(&world, ALL, 2).await.unwrap(), rows(&world, PAIRS, 2).await.unwrap()), before);
}

#[tokio::test]
async fn a_graph_that_does_not_fit_is_read_from_the_store() {
    let world = World::bounded(Limits { graph_memory: 6000, ..Limits::default() }).await;
    world.remember().await;
    floors(&world, 3).await;
    assert_eq!(source(&world).await, "memory");
    floors(&world, 20).await;
    assert_eq!(source(&world).await, "store: the graph does not fit into limits.graph_memory");
    assert_eq!(rows(&world, ALL, 7).await.unwrap().len(), 20);
    let world = World::bounded(Limits { graph_memory: 0, ..Limits::default() }).await;
    floors(&world, 3).await;
    assert_eq!((source(&world).await.as_str(), rows(&world, ALL, 7).await.unwrap().len()), ("store", 3));
}

#[tokio::test]
async fn a_declared_index_is_there_from_the_start_and_stays() {
    let world = World::new().await;
    floors(&world, 4).await;
    world.declare(&["Level", "in.part:number"]);
    world.remember().await;
    let access = async || {
        let text = "EXPLAIN SELECT T FROM DIGITALTWINS T WHERE T.Level = 2";
        rows(&world, text, 10).await.unwrap()[0]["plan"][0]["access"].as_str().unwrap().to_owned()
    };
    assert_eq!(access().await, "index on Level");
    // More of those that are adopted than there may be: the first adopted goes, and none that is declared.
    let there = |name: &str| world.twins.graphs.read(&world.instance).unwrap().index(name).is_some();
    for number in 0..20 {
        world.twins.graphs.adopt(&world.instance, &format!("p{number}"));
    }
    assert!(there("Level") && !there("p0") && there("p19"));
    // Declared while the graph is whole; one that is no longer declared goes as others do.
    world.declare(&["p0"]);
    assert!(world.twins.declare_indexes().await.unwrap());
    assert!(there("p0") && !there("Level"));
    let many: Vec<String> = (0..18).map(|number| format!("p{number}")).collect();
    world.declare(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(world.twins.declare_indexes().await.unwrap());
    world.twins.graphs.adopt(&world.instance, "Level");
    assert!(many.iter().all(|name| there(name)) && !there("Level"));
    assert_eq!(access().await, "all twins");
}

#[tokio::test]
async fn every_change_is_in_memory_when_it_is_acknowledged() {
    let world = World::new().await;
    world.remember().await;
    floors(&world, 4).await;
    world.twins.graphs.adopt(&world.instance, "Level");
    let found = async |text: &str| rows(&world, text, 100).await.unwrap().len();
    assert_eq!((found(ALL).await, found(PAIRS).await), (4, 3));
    world.patch("f01", json!([{ "op": "replace", "path": "/Level", "value": 40 }])).await.unwrap();
    let by_level = "SELECT T FROM DIGITALTWINS T WHERE T.Level";
    assert_eq!(found(&format!("{by_level} > 39")).await, 1);
    assert_eq!(
        (found(&format!("{by_level} = 1")).await, found(&format!("{by_level} IN [0, 40]")).await),
        (0, 2)
    );
    let explained = rows(&world, &format!("EXPLAIN {by_level} > 39"), 10).await.unwrap();
    assert_eq!(
        (&explained[0]["plan"][0]["access"], &explained[0]["read"]["twins"]),
        (&json!("index on Level"), &json!(1))
    );
    world.twins.delete_relationship(&world.admin, &world.instance, "f01", "r", None).await.unwrap();
    assert_eq!(found(PAIRS).await, 2);
    world.twins.delete_twin(&world.admin, &world.instance, "f00", None).await.unwrap();
    assert_eq!((found(ALL).await, found(&format!("{by_level} = 0")).await), (3, 0));
    let twin = world.twins.get_twin(&world.admin, &world.instance, "f00").await;
    assert_eq!(code(twin), ErrorCode::TwinNotFound);
    // Another graph of the same name begins with nothing.
    let name = world.instance.clone();
    let gone = Write::DeleteResource { kind: ResourceKind::Twins, name, expect: Expect::Any };
    world.twins.context.store.commit(Batch::from(gone)).await.unwrap();
    assert_eq!(found(ALL).await, 0);
    world.remember().await;
    assert_eq!((found(ALL).await, source(&world).await.as_str()), (0, "memory"));
}

/// 10,000 changes by eight writers at once, each asking for its own change as soon as it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_query_is_behind_its_own_write() {
    const WRITES: usize = 10_000;
    let world = Arc::new(World::new().await);
    floors(&world, 64).await;
    // From here on the graph is read while it changes.
    drop(source(&world).await);
    let (next, stale) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let writer = |world: Arc<World>, next: Arc<AtomicUsize>, stale: Arc<AtomicUsize>| async move {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= WRITES {
                break;
            }
            let id = format!("f{:02}", number % 64);
            let value = 1000 + number;
            world.patch(&id, json!([{ "op": "replace", "path": "/Level", "value": value }])).await.unwrap();
            let text = format!(
                "SELECT T.$dtId AS id FROM DIGITALTWINS T WHERE T.Level >= {value} AND T.$dtId = '{id}'"
            );
            if rows(&world, &text, 10).await.unwrap() != [json!({ "id": id })] {
                stale.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let all = (0..8).map(|_| tokio::spawn(writer(Arc::clone(&world), Arc::clone(&next), Arc::clone(&stale))));
    for writer in all.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!((stale.load(Ordering::Relaxed), source(&world).await.as_str()), (0, "memory"));
}

/// A page from memory, the next from the store, and so on: a place in the one is a place in the other.
#[tokio::test]
async fn pages_may_come_from_memory_and_from_the_store_in_turn() {
    let world = World::new().await;
    floors(&world, 12).await;
    for (source, target) in (0..12).flat_map(|source| (0..12).map(move |target| (source, target))) {
        let relationship = Relationship {
            id: format!("x{target:02}"),
            source: format!("f{source:02}"),
            target: format!("f{target:02}"),
            name: if target % 3 == 0 { "contains" } else { "above" }.into(),
            etag: Etag::new("1"),
            properties: json!({ "by": format!("{source}") }),
            updated: Timestamp::default(),
        };
        let twins = world.instance.clone();
        let write =
            Write::PutRelationship { twins, relationship: Box::new(relationship), expect: Expect::Any };
        world.twins.context.store.commit(Batch::from(write)).await.unwrap();
    }
    for query in [
        "SELECT a.$dtId AS a, r.$relationshipId AS r, r.by AS w, b.Level AS b FROM DIGITALTWINS MATCH (a)-[r:above]-(b) WHERE b.Level < 4",
        "SELECT a.$dtId AS a, b.$dtId AS b, c FROM DIGITALTWINS MATCH (a)-[:contains*1..2]-(b)<-[:above]-(c) WHERE a.Level IN [3, 4]",
        "SELECT c FROM DIGITALTWINS a JOIN b RELATED a.contains JOIN c RELATED b.above r WHERE r.by = '3' AND a.Level < 6",
        "SELECT * FROM DIGITALTWINS MATCH (a)-[:contains]->(b)-[:above]->(a)",
        "SELECT a.$dtId AS a, b.Level AS b FROM DIGITALTWINS MATCH (a)-[:contains]->(b) ORDER BY b.Level DESC",
        "SELECT * FROM DIGITALTWINS T WHERE T.$metadata.$lastUpdateTime != '' AND STARTSWITH(T.$dtId, 'f0')",
    ] {
        world.remember().await;
        let whole = rows(&world, query, 1000).await.unwrap();
        world.twins.graphs.forget(&world.instance);
        assert_eq!(rows(&world, query, 1000).await.unwrap(), whole, "{query}");
        for limit in [1, 7, 50] {
            let (mut all, mut turn) = (Vec::new(), 0);
            let mut ask = QueryTwins { query: Some(query.into()), ..QueryTwins::default() };
            loop {
                if turn % 2 == 0 {
                    world.remember().await
                } else {
                    world.twins.graphs.forget(&world.instance)
                }
                ask.paging.limit = Some(limit);
                let page = world.twins.query(&world.admin, &world.instance, ask).await.unwrap();
                all.extend(page.rows.into_iter().map(Row::into_value));
                let Some(token) = page.continuation else { break };
                ask = QueryTwins { query: None, paging: Paging { continuation: Some(token), limit: None } };
                turn += 1;
            }
            assert_eq!(all, whole, "{query} by {limit}");
        }
    }
}
