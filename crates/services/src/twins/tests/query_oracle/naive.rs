//! The naive evaluator: nested loops over everything.

use serde_json::{Value, json};

use super::graph::Graph;
use super::{Asked, NAMES, Origin, Part};

/// So many ways are tried for one question. Ten relationships of one twin with itself have millions of trails.
const WAYS: u32 = 2_000;

/// A row of the naive evaluator: twins by number, relationships by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) twins: Vec<Value>,
    pub(super) edges: Vec<Option<Value>>,
}

impl Asked {
    /// The rows that the question has, in any order; `None` if there are more than [`WAYS`] ways through the graph.
    pub(super) fn rows(&self, graph: &Graph) -> Option<Vec<Row>> {
        let twins: Vec<Value> = graph.twins().iter().map(crate::twins::twin_document).collect();
        let edges: Vec<Value> = graph.edges().iter().map(crate::twins::relationship_document).collect();
        let mut found = Vec::new();
        let mut left = WAYS;
        match &self.from {
            Origin::Relationships => {
                found.extend(edges.iter().map(|edge| Row { twins: vec![], edges: vec![Some(edge.clone())] }));
            }
            Origin::Twins(joins) => {
                found.extend(twins.iter().map(|twin| Row { twins: vec![twin.clone()], edges: vec![] }));
                let known = twins.as_slice();
                for (from, name) in joins {
                    let joined = |row: Row| {
                        let source = row.twins[from % row.twins.len()]["$dtId"].clone();
                        let out = edges.iter().filter(move |edge| {
                            edge["$sourceId"] == source && edge["$relationshipName"] == NAMES[*name]
                        });
                        let row = move |edge: &Value| {
                            let mut row = row.clone();
                            row.twins.push(by_id(known, &edge["$targetId"]));
                            row.edges.push(Some(edge.clone()));
                            row
                        };
                        out.map(row).collect::<Vec<_>>()
                    };
                    found = found.into_iter().flat_map(joined).collect();
                }
            }
            Origin::Pattern(parts) => {
                for twin in &twins {
                    let row = Row { twins: vec![twin.clone()], edges: vec![] };
                    trails(parts, (&twins, &edges), row, twin, 0, &mut Vec::new(), (&mut found, &mut left));
                }
            }
        }
        found.retain(|row| self.tests.iter().all(|test| test.holds(row) == Some(true)));
        (left > 0).then_some(found)
    }
}

fn by_id(twins: &[Value], id: &Value) -> Value {
    twins.iter().find(|twin| twin["$dtId"] == *id).unwrap().clone()
}

/// All ways to go on from `at` with the first of `parts`, of which `hops` are taken; ends early when none is left to try.
fn trails(
    parts: &[Part],
    graph: (&[Value], &[Value]),
    row: Row,
    at: &Value,
    hops: u32,
    used: &mut Vec<Value>,
    (found, left): (&mut Vec<Row>, &mut u32),
) {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return;
    }
    let Some((part, rest)) = parts.split_first() else {
        found.push(row);
        return;
    };
    for edge in graph.1 {
        let name = edge["$relationshipName"].as_str().unwrap();
        let named = part.names.is_empty() || part.names.iter().any(|known| NAMES[*known] == name);
        let mark = json!([edge["$sourceId"], edge["$relationshipId"]]);
        if !named || used.contains(&mark) {
            continue;
        }
        let (along, against) = (edge["$sourceId"] == at["$dtId"], edge["$targetId"] == at["$dtId"]);
        let end = match part.direction {
            0 | 2 if along => &edge["$targetId"],
            1 | 2 if against => &edge["$sourceId"],
            _ => continue,
        };
        let end = by_id(graph.0, end);
        used.push(mark);
        if hops + 1 >= part.min {
            let mut row = row.clone();
            let to = part.to.map(|to| to % row.twins.len());
            if to.is_none_or(|to| row.twins[to]["$dtId"] == end["$dtId"]) {
                if to.is_none() {
                    row.twins.push(end.clone());
                }
                row.edges.push(part.variable.then(|| edge.clone()));
                trails(rest, graph, row, &end, 0, used, (found, left));
            }
        }
        if hops + 1 < part.max {
            trails(parts, graph, row.clone(), &end, hops + 1, used, (found, left));
        }
        used.pop();
    }
}
