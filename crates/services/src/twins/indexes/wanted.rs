//! Which indexes could answer the conditions of a query, and with what values.

use pollux_query::{PredicateOp, PropertyPredicate};
use pollux_store::property_indexes::{IndexedProperty, Values};
use serde_json::Value;

use super::super::query::LONGEST_LIST;

/// For each property that an index could be asked for, those likely to find the fewest twins first: one value, several,
/// a beginning, an interval.
pub(super) fn of(predicates: &[PropertyPredicate]) -> Vec<(IndexedProperty, Values)> {
    let mut wanted: Vec<(IndexedProperty, Values)> = Vec::new();
    for predicate in predicates {
        let Some(values) = values(predicate) else { continue };
        let Some(property) = IndexedProperty::new(predicate.path.clone(), values.kind()) else { continue };
        let known = wanted.iter_mut().find_map(|(known, there)| (*known == property).then_some(there));
        match known {
            Some(there) => narrow(there, values),
            None => wanted.push((property, values)),
        }
    }
    wanted.sort_by_key(|(_, values)| breadth(values));
    wanted
}

/// `None` if an index does not help.
fn values(predicate: &PropertyPredicate) -> Option<Values> {
    let value = &predicate.value;
    match predicate.op {
        PredicateOp::Eq => several(std::slice::from_ref(value)),
        PredicateOp::In => several(value.as_array()?),
        PredicateOp::StartsWith => {
            value.as_str().filter(|text| !text.is_empty()).map(|text| Values::TextsWith(text.to_owned()))
        }
        PredicateOp::Lt | PredicateOp::Le => match value {
            Value::String(text) => Some(Values::TextsBetween(None, Some(text.clone()))),
            value => Some(Values::NumbersBetween(f64::NEG_INFINITY, value.as_f64()?)),
        },
        PredicateOp::Gt | PredicateOp::Ge => match value {
            Value::String(text) => Some(Values::TextsBetween(Some(text.clone()), None)),
            value => Some(Values::NumbersBetween(value.as_f64()?, f64::INFINITY)),
        },
        PredicateOp::Defined => None,
    }
}

/// One of several values, if all are of one kind.
fn several(values: &[Value]) -> Option<Values> {
    let text = |value: &Value| match value {
        Value::Bool(value) => Some(value.to_string()),
        value => value.as_str().map(ToOwned::to_owned),
    };
    if values.is_empty() || values.len() > LONGEST_LIST {
        return None;
    }
    let texts: Option<Vec<String>> = values.iter().map(text).collect();
    let numbers = || values.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    texts.map(Values::Texts).or_else(|| numbers().map(Values::Numbers))
}

/// Both hold: intervals are cut, and of others the narrower one stays.
fn narrow(there: &mut Values, other: Values) {
    let narrower = breadth(&other) < breadth(there);
    match (&mut *there, &other) {
        (Values::NumbersBetween(least, most), Values::NumbersBetween(least_too, most_too)) => {
            *least = least.max(*least_too);
            *most = most.min(*most_too);
        }
        (Values::TextsBetween(least, most), Values::TextsBetween(least_too, most_too)) => {
            // Nothing is less than what is not bounded below, as it should be.
            *least = least.take().max(least_too.clone());
            *most = match (most.take(), most_too.clone()) {
                (Some(most), Some(other)) => Some(most.min(other)),
                (most, other) => most.or(other),
            };
        }
        _ if narrower => *there = other,
        _ => {}
    }
}

fn breadth(values: &Values) -> (u8, usize) {
    match values {
        Values::Texts(texts) => (0, texts.len()),
        Values::Numbers(numbers) => (0, numbers.len()),
        Values::TextsWith(_) => (1, 0),
        Values::TextsBetween(least, most) => (if least.is_some() && most.is_some() { 2 } else { 3 }, 0),
        Values::NumbersBetween(least, most) => (if least.is_finite() && most.is_finite() { 2 } else { 3 }, 0),
    }
}

#[cfg(test)]
mod tests {
    use pollux_query::twins::parse;

    use super::*;

    fn wanted(filter: &str) -> Vec<(String, Values)> {
        let query = parse(&format!("SELECT * FROM DIGITALTWINS T WHERE {filter}")).unwrap();
        let hints = query.hints();
        let found = of(&hints[0].predicates).into_iter();
        found.map(|(property, values)| (property.path().join("."), values)).collect()
    }

    #[test]
    fn conditions_become_what_an_index_is_asked_for() {
        let text = |text: &str| text.to_owned();
        for (filter, expected) in [
            ("T.x = 5", vec![("x", Values::Numbers(vec![5.0]))]),
            ("T.c.x = 'a'", vec![("c.x", Values::Texts(vec![text("a")]))]),
            ("T.x IN ['a', true]", vec![("x", Values::Texts(vec![text("a"), text("true")]))]),
            ("T.x > 1 AND T.x <= 4 AND T.x >= 2", vec![("x", Values::NumbersBetween(2.0, 4.0))]),
            ("T.x >= 'b' AND T.x < 'd'", vec![("x", Values::TextsBetween(Some(text("b")), Some(text("d"))))]),
            (
                "T.y > 1 AND STARTSWITH(T.x, 'ab')",
                vec![("x", Values::TextsWith(text("ab"))), ("y", Values::NumbersBetween(1.0, f64::INFINITY))],
            ),
            ("T.x > 1 AND T.x = 3", vec![("x", Values::Numbers(vec![3.0]))]),
            ("(T.x = 1 AND T.y = 2) OR T.x = 1", vec![("x", Values::Numbers(vec![1.0]))]),
            ("T.flag", vec![("flag", Values::Texts(vec![text("true")]))]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(path, values)| (text(path), values)).collect();
            assert_eq!(wanted(filter), expected, "{filter}");
        }
        // Nothing that an index could tell: other kinds mixed, negations, what is no property, names that are none.
        for filter in [
            "T.x IN [1, 'a']",
            "T.x = null",
            "NOT T.x = 1",
            "T.x != 1",
            "T.x = 1 OR T.y = 1",
            "STARTSWITH(T.x, '')",
            "ENDSWITH(T.x, 'a')",
            "IS_DEFINED(T.x)",
            "T.$dtId = 'a'",
            "T.$metadata.x.lastUpdateTime > '2020'",
            "T.x < true",
            "T.[[a'; DROP TABLE digital_twins; --]] = 1",
        ] {
            if parse(&format!("SELECT * FROM DIGITALTWINS T WHERE {filter}")).is_ok() {
                assert_eq!(wanted(filter), [], "{filter}");
            }
        }
    }
}
