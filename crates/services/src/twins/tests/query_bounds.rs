//! What a query may cost, and pages while the graph changes.

use pollux_model::digital_twin::Relationship;
use pollux_store::{Batch, Expect, Write};

use super::queries::rows;
use super::*;
use crate::twins::{Paging, QueryPage, QueryTwins, Row};

/// So many floors, and a relationship from each to each.
async fn tangle(limits: Limits, rooms: usize) -> World {
    let world = World::bounded(limits).await;
    for room in 0..rooms {
        world.put(&format!("f{room:02}"), floor()).await.unwrap();
    }
    let pairs = (0..rooms).flat_map(|from| (0..rooms).map(move |to| (from, to)));
    let all = pairs.map(|(from, to)| above(&format!("f{from:02}"), &format!("r{to:02}"), from * rooms + to));
    put(&world, all).await;
    world
}

/// Whether graphs may be held in memory.
fn limits(memory: bool) -> Limits {
    let all = Limits::default();
    Limits { graph_memory: if memory { all.graph_memory } else { 0 }, ..all }
}

/// From a floor to the floor that the id names; the service would refuse one from a floor to itself.
fn above(source: &str, id: &str, n: usize) -> Relationship {
    Relationship {
        id: id.into(),
        source: source.into(),
        target: format!("f{}", &id[1..]),
        name: "above".into(),
        etag: Etag::new("1"),
        properties: json!({ "n": n }),
        updated: Timestamp::from_secs(1),
    }
}

async fn put(world: &World, relationships: impl IntoIterator<Item = Relationship>) {
    let writes = relationships.into_iter().map(|relationship| Write::PutRelationship {
        twins: world.instance.clone(),
        relationship: Box::new(relationship),
        expect: Expect::Any,
    });
    world.twins.context.store.commit(Batch { writes: writes.collect() }).await.unwrap();
}

async fn page(
    world: &World,
    query: &str,
    continuation: Option<String>,
    limit: usize,
) -> Result<QueryPage, Error> {
    let query = continuation.is_none().then(|| query.to_owned());
    let ask = QueryTwins { query, paging: Paging { continuation, limit: Some(limit) } };
    world.twins.query(&world.admin, &world.instance, ask).await
}

#[tokio::test]
async fn a_catastrophic_pattern_ends_with_an_error() {
    a_catastrophic_pattern_ends_with_an_error_from(false).await;
    a_catastrophic_pattern_ends_with_an_error_from(true).await;
}

async fn a_catastrophic_pattern_ends_with_an_error_from(memory: bool) {
    let world = tangle(Limits { query_work: 50_000, ..limits(memory) }, 12).await;
    if memory {
        world.remember().await;
    }
    for query in [
        "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[*..10]-(b) WHERE a.$dtId = 'f00'",
        "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[*1000]-(b)",
        "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[*..10]->(b)-[*..10]->(c)-[*..10]->(a) WHERE a.Level = 1 OR b.Level = 1",
        "SELECT b.$dtId FROM DIGITALTWINS MATCH (a)-[*..10]-(b) WHERE a.$dtId = 'f00' AND b.$dtId = 'nobody'",
        "SELECT DISTINCT b.$dtId FROM DIGITALTWINS MATCH (a)-[*..10]-(b) WHERE a.$dtId = 'f00'",
    ] {
        let error = rows(&world, query, 1000).await.expect_err(query);
        assert_eq!(error.code, ErrorCode::QuotaExceeded, "{query}");
        assert!(error.message.contains("more than 50000 twins, relationships and combinations"), "{error}");
    }
    // Within the bound it is answered.
    let few = "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[*..3]->(b) WHERE a.$dtId = 'f00'";
    assert_eq!(rows(&world, few, 10).await.unwrap(), [json!({ "COUNT": 12 + 144 - 1 + trails_of_three() })]);
}

/// From one twin of twelve, each of which leads to each and itself: ways of three different relationships.
fn trails_of_three() -> usize {
    let edges = || (0..12).flat_map(|from| (0..12).map(move |to| (from, to)));
    let next = |at: usize| edges().filter(move |edge| edge.0 == at);
    next(0)
        .flat_map(|first| {
            next(first.1).filter(move |second| *second != first).map(move |second| (first, second))
        })
        .flat_map(|(first, second)| next(second.1).filter(move |third| *third != first && *third != second))
        .count()
}

#[tokio::test]
async fn a_page_without_time_makes_progress() {
    a_page_without_time_makes_progress_from(false).await;
    a_page_without_time_makes_progress_from(true).await;
}

async fn a_page_without_time_makes_progress_from(memory: bool) {
    let world = tangle(Limits { query_page_seconds: 0, ..limits(memory) }, 5).await;
    if memory {
        world.remember().await;
    }
    let query = "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[*..2]->(b)-[]->(c)";
    let (mut continuation, mut pages) = (None, 0);
    let counted = loop {
        let page = page(&world, query, continuation, 100).await.unwrap();
        pages += 1;
        match page.continuation {
            Some(token) => continuation = Some(token),
            None => break page.rows.into_iter().map(Row::into_value).collect::<Vec<_>>(),
        }
    };
    // From memory a page gets far in no time.
    assert!(memory || pages > 5, "{pages}");
    let whole = tangle(Limits::default(), 5).await;
    assert_eq!(counted, rows(&whole, query, 100).await.unwrap());
    let error =
        page(&world, "SELECT a, b FROM DIGITALTWINS MATCH (a)-[*..3]->(b) ORDER BY a.x", None, 10).await;
    let error = error.unwrap_err();
    assert!(error.code == ErrorCode::QueryTimeout && error.message.contains("within 0 seconds"), "{error}");
}

#[tokio::test]
async fn rows_in_order_and_groups_have_a_bound() {
    rows_in_order_and_groups_have_a_bound_from(false).await;
    rows_in_order_and_groups_have_a_bound_from(true).await;
}

async fn rows_in_order_and_groups_have_a_bound_from(memory: bool) {
    let world = tangle(Limits { query_memory: 20_000, ..limits(memory) }, 12).await;
    if memory {
        world.remember().await;
    }
    for query in [
        "SELECT a, b FROM DIGITALTWINS MATCH (a)-[]->(b) ORDER BY a.$dtId DESC",
        "SELECT r.n, COUNT() FROM DIGITALTWINS MATCH (a)-[r]->(b) GROUP BY r.n",
    ] {
        let error = rows(&world, query, 1000).await.expect_err(query);
        assert!(error.code == ErrorCode::QuotaExceeded && error.message.contains("20000 bytes"), "{error}");
    }
    let small = "SELECT a.$dtId AS i FROM DIGITALTWINS MATCH (a)-[]->(b) ORDER BY i DESC";
    assert_eq!(rows(&world, small, 10).await.unwrap().len(), 144);
}

#[tokio::test]
async fn long_conditions_and_deep_ones_are_answered_or_refused() {
    let world = tangle(Limits::default(), 2).await;
    let terms = |count: usize| (0..count).map(|n| format!("n = {n}")).collect::<Vec<_>>().join(" OR ");
    let fits = format!("SELECT COUNT() FROM RELATIONSHIPS WHERE {}", terms(600));
    assert_eq!(rows(&world, &fits, 10).await.unwrap(), [json!({ "COUNT": 4 })]);
    for (condition, message) in [
        (terms(10_000), "longer than the allowed 8000 characters"),
        (
            format!("{}n = 1{}", "(".repeat(3000), ")".repeat(3000)),
            "nested deeper than the allowed 100 levels",
        ),
    ] {
        let error =
            rows(&world, &format!("SELECT * FROM RELATIONSHIPS WHERE {condition}"), 10).await.unwrap_err();
        assert!(error.code == ErrorCode::QueryInvalid && error.message.contains(message), "{error}");
    }
}

#[tokio::test]
async fn pages_hold_while_the_graph_changes() {
    pages_hold_while_the_graph_changes_from(false).await;
    pages_hold_while_the_graph_changes_from(true).await;
}

async fn pages_hold_while_the_graph_changes_from(memory: bool) {
    let world = tangle(limits(memory), 6).await;
    if memory {
        world.remember().await;
    }
    let steady = |row: &Value| {
        let id = |member: &str| row[member].as_str().unwrap()[1..3].parse::<usize>().unwrap();
        ["p", "q"].iter().all(|member| id(member) % 2 == 0)
    };
    for query in [
        "SELECT a.$dtId AS a, p.$relationshipId AS p, q.$relationshipId AS q, q.$sourceId AS s FROM DIGITALTWINS \
         MATCH (a)-[p]->(b)-[q]-(c) WHERE a.$dtId IN ['f01', 'f03', 'f05']",
        "SELECT a.$dtId AS a, p.$relationshipId AS p, q.$relationshipId AS q, c.$dtId AS c FROM DIGITALTWINS \
         MATCH (a)-[p]->(b)-[q]->(c) ORDER BY c DESC",
    ] {
        let before: Vec<Value> = rows(&world, query, 1000).await.unwrap();
        let expected = before.iter().filter(|row| steady(row)).count();
        let (mut all, mut continuation, mut turn) = (Vec::new(), None, 0);
        loop {
            let page = page(&world, query, continuation, 7).await.unwrap();
            all.extend(page.rows.into_iter().map(Row::into_value));
            let Some(token) = page.continuation else { break };
            continuation = Some(token);
            // Every other relationship goes and comes again, wherever the walk stands.
            turn += 1;
            let (source, id) = (format!("f{:02}", turn % 6), format!("r{:02}", (turn / 6 % 3) * 2 + 1));
            if turn % 2 == 0 {
                let gone =
                    world.twins.delete_relationship(&world.admin, &world.instance, &source, &id, None).await;
                drop(gone);
            } else {
                put(&world, [above(&source, &id, 0)]).await;
            }
        }
        let mut distinct = all.clone();
        distinct.sort_by_key(ToString::to_string);
        distinct.dedup();
        assert_eq!(distinct.len(), all.len(), "nothing is met twice: {query}");
        assert_eq!(all.iter().filter(|row| steady(row)).count(), expected, "what stays is met: {query}");
    }
}

#[tokio::test]
async fn a_query_explains_itself() {
    let world = tangle(Limits::default(), 4).await;
    let answer = rows(
        &world,
        "EXPLAIN SELECT a FROM DIGITALTWINS a JOIN b RELATED a.above JOIN c RELATED b.above r \
         WHERE c.$dtId = 'f01' AND r.n > 3 AND IS_OF_MODEL(b, 'dtmi:example:Floor;1')",
        10,
    )
    .await
    .unwrap();
    let explained = &answer[0];
    assert_eq!(answer.len(), 1);
    assert_eq!(explained["plan"][0]["alias"], "c");
    assert_eq!(explained["plan"][0]["access"], "key: 1 ids");
    assert_eq!(
        explained["plan"][1],
        json!({
            "step": "follow", "from": "c", "to": "b", "relationships": "above", "hops": [1, 1], "access": "index on target",
            "conditions": 2, "rows": 3,
        })
    );
    assert_eq!((&explained["plan"][2]["to"], &explained["rows"]), (&json!("a"), &json!(12)));
    // The twin c, four relationships to it, the four twins b, four relationships to each b that is left.
    assert_eq!(explained["read"]["relationships"], 4 + 3 * 4);
    assert_eq!((&explained["complete"], explained["charge"].as_f64().unwrap() > 1.5), (&json!(true), true));
    let grouped = "EXPLAIN SELECT a.x, COUNT() FROM DIGITALTWINS a GROUP BY a.x";
    assert_eq!(rows(&world, grouped, 10).await.unwrap()[0]["plan"][1]["step"], "group");
}

/// More than is read at once: a twin with very many relationships, and many twins with many.
#[tokio::test]
async fn what_does_not_fit_into_one_read_comes_with_the_next() {
    what_does_not_fit_into_one_read_comes_with_the_next_from(false).await;
    what_does_not_fit_into_one_read_comes_with_the_next_from(true).await;
}

async fn what_does_not_fit_into_one_read_comes_with_the_next_from(memory: bool) {
    let world = tangle(limits(memory), 30).await;
    if memory {
        world.remember().await;
    }
    let whole = "SELECT a.$dtId AS a, b.$dtId AS b, c.$dtId AS c FROM DIGITALTWINS a JOIN b RELATED a.above \
                 JOIN c RELATED b.above WHERE a.$dtId IN ['f03', 'f04', 'f05']";
    let hub = (0..1100).map(|n| {
        let relationship = above("f29", &format!("r{:02}", n % 11), n);
        Relationship { id: format!("h{n:04}"), name: "hub".into(), ..relationship }
    });
    put(&world, hub).await;
    let count = "SELECT COUNT() FROM DIGITALTWINS MATCH (a)-[:above]->(b)-[:above]->(c)";
    assert_eq!(rows(&world, count, 10).await.unwrap(), [json!({ "COUNT": 30 * 30 * 30 - 30 })]);
    let either = "SELECT r.$relationshipId AS r, b.$dtId AS b FROM DIGITALTWINS MATCH (a)-[r:hub]-(b) WHERE a.$dtId = 'f29'";
    let through = "SELECT r.$relationshipId AS r, c.$dtId AS b FROM DIGITALTWINS MATCH (a)-[r:hub]->(b)-[:above]->(c) \
                   WHERE a.$dtId = 'f29' AND c.$dtId IN ['f07', 'f20']";
    let back = "SELECT h.$relationshipId AS r, h.n AS b FROM DIGITALTWINS MATCH (b)<-[h:hub]-(a) WHERE b.$dtId = 'f05'";
    for (query, expected) in [(whole, 3 * 30 * 30), (either, 1100), (through, 2200), (back, 100)] {
        for limit in [1000, 333] {
            let found = rows(&world, query, limit).await.unwrap();
            let mut distinct: Vec<String> = found.iter().map(ToString::to_string).collect();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!((found.len(), distinct.len()), (expected, expected), "{query} by {limit}");
        }
    }
}
