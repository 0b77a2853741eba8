//! A generated graph.

use super::*;

#[derive(Debug, Clone)]
pub(super) struct Graph {
    /// Model and `x`.
    pub(super) twins: Vec<(usize, Value)>,
    /// Source, target, name, `w`.
    pub(super) edges: Vec<(usize, usize, usize, i64)>,
}

impl Graph {
    pub(super) fn twins(&self) -> Vec<DigitalTwin> {
        let twin = |(number, (model, x)): (usize, &(usize, Value))| {
            let mut document = json!({ "$metadata": { "$model": MODELS[*model] } });
            if x.as_str() != Some("absent") {
                document["x"] = x.clone();
            }
            DigitalTwin {
                id: format!("t{number}"),
                model: MODELS[*model].into(),
                etag: Etag::new("1"),
                document,
                updated: Timestamp::from_secs(1),
            }
        };
        self.twins.iter().enumerate().map(twin).collect()
    }

    pub(super) fn edges(&self) -> Vec<Relationship> {
        let edge = |(number, (source, target, name, w)): (usize, &(usize, usize, usize, i64))| Relationship {
            id: format!("e{number}"),
            source: format!("t{}", source % self.twins.len()),
            target: format!("t{}", target % self.twins.len()),
            name: NAMES[*name].into(),
            etag: Etag::new("1"),
            properties: json!({ "w": w }),
            updated: Timestamp::from_secs(1),
        };
        self.edges.iter().enumerate().map(edge).collect()
    }

    pub(super) async fn store(&self, world: &World) {
        let (twins, expect) = (world.instance.clone(), Expect::Any);
        let put =
            |twin| Write::PutTwin { twins: twins.clone(), twin: Box::new(twin), expect: expect.clone() };
        let relate = |relationship| Write::PutRelationship {
            twins: twins.clone(),
            relationship: Box::new(relationship),
            expect: expect.clone(),
        };
        let writes = self.twins().into_iter().map(put).chain(self.edges().into_iter().map(relate)).collect();
        world.twins.context.store.commit(Batch { writes }).await.unwrap();
    }
}

/// How texts compare, to the naive evaluator.
pub(super) fn compare_text(value: &Value, op: &str, wanted: &str) -> Option<bool> {
    let order = value.as_str().map(|value| value.cmp(wanted));
    match op {
        "STARTSWITH" => value.as_str().map(|value| value.starts_with(wanted)),
        "=" => Some(order == Some(Ordering::Equal)),
        "<=" => order.map(Ordering::is_le),
        _ => order.map(Ordering::is_gt),
    }
}
