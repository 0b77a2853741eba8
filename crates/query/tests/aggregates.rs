//! Groups and aggregates of device queries against an evaluator that a reader can check at a glance.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pollux_query::devices;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

const PROPERTIES: [&str; 3] = ["a", "b", "c"];

/// A function and the property it looks at; `COUNT()` looks at none.
type Call = (&'static str, &'static str);

fn value() -> impl Strategy<Value = Option<Json>> {
    prop_oneof![
        3 => (-3_i64..3).prop_map(|n| Some(json!(n))),
        2 => (-3_i64..3).prop_map(|n| Some(json!(n as f64 + 0.5))),
        2 => "[xy]{0,2}".prop_map(|text| Some(json!(text))),
        1 => any::<bool>().prop_map(|truth| Some(json!(truth))),
        1 => Just(Some(json!(null))),
        1 => Just(Some(json!([1]))),
        1 => Just(Some(json!({"x": 1}))),
        2 => Just(None),
    ]
}

fn document() -> impl Strategy<Value = Json> {
    [value(), value(), value()].prop_map(|values| {
        let members =
            PROPERTIES.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Json::Object(members.collect::<Map<_, _>>())
    })
}

fn call() -> impl Strategy<Value = Call> {
    let function = prop::sample::select(vec!["COUNT", "AVG", "SUM", "MIN", "MAX"]);
    (function, prop::sample::select(PROPERTIES.to_vec()))
}

/// Groups in the order in which they first come, each with what its documents have in common.
fn groups<'d>(documents: &'d [Json], by: &[&str]) -> Vec<(Vec<Option<&'d Json>>, Vec<&'d Json>)> {
    let mut groups: Vec<(Vec<_>, Vec<_>)> = Vec::new();
    if by.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    for document in documents {
        let key: Vec<_> = by.iter().map(|name| document.get(name)).collect();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(document),
            None => groups.push((key, vec![document])),
        }
    }
    groups
}

fn computed((function, property): Call, members: &[&Json]) -> Option<Json> {
    let there = members.iter().filter_map(|member| member.get(property));
    let numbers: Vec<f64> = there.clone().filter_map(Json::as_f64).collect();
    let sum: f64 = numbers.iter().sum();
    let plain = there.filter(|value| value.is_boolean() || value.is_number() || value.is_string());
    let mut plain: Vec<_> = plain.collect();
    plain.sort_by(|left, right| {
        let rank = |value: &Json| (value.is_number(), value.is_string());
        let (left_rank, right_rank) = (rank(left), rank(right));
        // Booleans, numbers, strings.
        left_rank.1.cmp(&right_rank.1).then(left_rank.0.cmp(&right_rank.0)).then_with(|| {
            match (left, right) {
                (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
                (Json::String(left), Json::String(right)) => left.cmp(right),
                (left, right) => left.as_f64().partial_cmp(&right.as_f64()).unwrap(),
            }
        })
    });
    match function {
        "COUNT" => Some(json!(members.len())),
        "AVG" => (!numbers.is_empty()).then(|| json!(sum / numbers.len() as f64)),
        "SUM" => (!numbers.is_empty()).then(|| json!(sum)),
        "MIN" => plain.first().map(|value| (*value).clone()),
        _ => plain.last().map(|value| (*value).clone()),
    }
}

/// Numbers by what they are worth: a sum of integers is one.
fn plain(row: &Json) -> Json {
    match row {
        Json::Number(number) => json!(number.as_f64()),
        Json::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), plain(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn sorted(mut rows: Vec<Json>) -> Vec<String> {
    rows.iter_mut().for_each(|row| *row = plain(row));
    let mut rows: Vec<_> = rows.iter().map(Json::to_string).collect();
    rows.sort();
    rows
}

proptest! {
    #[test]
    fn groups_are_what_they_should_be(
        documents in prop::collection::vec(document(), 0..12),
        by in prop::sample::subsequence(PROPERTIES.to_vec(), 0..3),
        calls in prop::collection::vec(call(), 1..5),
        narrowed in any::<bool>(),
    ) {
        let call = |(function, property): &Call| match *function {
            "COUNT" => "COUNT()".to_owned(),
            function => format!("{function}({property})"),
        };
        let columns = by.iter().map(|name| format!("{name} AS {name}"));
        let columns = columns.chain(calls.iter().enumerate().map(|(at, one)| format!("{} AS n{at}", call(one))));
        let mut text = format!("SELECT {} FROM devices", columns.collect::<Vec<_>>().join(", "));
        if narrowed {
            text.push_str(" WHERE is_defined(a)");
        }
        if !by.is_empty() {
            text.push_str(&format!(" GROUP BY {}", by.join(", ")));
        }
        let query = devices::parse(&text).unwrap();
        let mut aggregator = query.aggregator();
        let matching: Vec<_> =
            documents.iter().filter(|one| !narrowed || one.get("a").is_some()).cloned().collect();
        for document in &documents {
            if query.matches(document) {
                aggregator.add(document);
            }
        }
        let expected = groups(&matching, &by).into_iter().map(|(key, members)| {
            let common = by.iter().zip(key).filter_map(|(name, value)| Some(((*name).to_owned(), value?.clone())));
            let totals = calls.iter().enumerate().filter_map(|(at, one)| Some((format!("n{at}"), computed(*one, &members)?)));
            Json::Object(common.chain(totals).collect())
        });
        prop_assert_eq!(sorted(aggregator.finish()), sorted(expected.collect()), "{}", text);
    }
}
