//! What must hold for any text. Shared with `fuzz/`.

use pollux_query::{
    QueryError, devices, routing,
    twins::{self, Bindings, ModelTree},
};
use serde_json::{Value as Json, json};

struct NoModels;

impl ModelTree for NoModels {
    fn is_of_model(&self, model: &str, ancestor: &str, _exact: bool) -> bool {
        model == ancestor
    }
}

/// A text in each of the three dialects: it is refused with a place in it, or what was read can be used.
pub(crate) fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match twins::parse(text) {
        Ok(query) => asked(&query),
        Err(error) => placed(text, &error),
    }
    match devices::parse(text) {
        Ok(query) => drop(query.matches(&document())),
        Err(error) => placed(text, &error),
    }
    if let Err(error) = routing::parse(text) {
        placed(text, &error);
    }
}

fn document() -> Json {
    json!({ "$dtId": "a", "$metadata": { "$model": "m" }, "x": 1, "y": [1, "s"], "tags": { "red": true }, "n": null })
}

fn asked(query: &twins::Query) {
    let aliases = query.aliases().len();
    assert_eq!(query.hints().len(), aliases);
    assert_eq!(query.needs().len(), aliases);
    // All twins are connected, and every number is that of an alias.
    let mut reached = std::collections::BTreeSet::from([0_u16]);
    for _ in query.steps() {
        for step in query.steps() {
            assert!(
                usize::from(step.from.max(step.to)) < aliases && (1..=step.max_hops).contains(&step.min_hops)
            );
            assert!(step.relationship.is_none_or(|alias| usize::from(alias) < aliases && step.max_hops == 1));
            if reached.contains(&step.from) || reached.contains(&step.to) {
                reached.extend([step.from, step.to]);
            }
        }
    }
    assert!(query.steps().iter().all(|step| reached.contains(&step.to)));
    let document = document();
    let mut row = Bindings::default();
    for alias in 0..u16::try_from(aliases).unwrap_or(u16::MAX) {
        row.bind(alias, &document);
    }
    // A row matches if, and only if, all conditions hold.
    let all = query.conditions().iter().all(|condition| query.holds(condition, &row, &NoModels));
    assert_eq!(query.matches(&row, &NoModels), all);
    query.project(&row);
    let (key, mut totals) = (query.group_key(&row), query.totals());
    query.add(&mut totals, &row);
    query.group_row(&key, &totals);
    let order = if query.is_grouped() { query.group_order_key(&key, &totals) } else { query.order_key(&row) };
    assert_eq!(query.read_key(&order.to_json()), Some(order));
}

fn placed(text: &str, error: &QueryError) {
    assert!(text.is_char_boundary(error.offset) && !error.message.is_empty());
    assert!(error.message.len() < 2000, "{}", error.message.len());
    assert_eq!(error.line as usize, text[..error.offset].matches('\n').count() + 1);
}
