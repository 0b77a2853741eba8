//! What is ours in digital twins queries: groups, order, offset, `DISTINCT`, `EXPLAIN`.

use pollux_query::twins::{self, Bindings, Query, SelectList};
use serde_json::{Value as Json, json};

fn parse(text: &str) -> Query {
    twins::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The rows of all groups in the order of the answer.
fn groups(text: &str, documents: &[Json]) -> Vec<Json> {
    let query = parse(text);
    let mut groups = std::collections::BTreeMap::new();
    for document in documents {
        let row = Bindings::one(document);
        query.add(groups.entry(query.group_key(&row)).or_insert_with(|| query.totals()), &row);
    }
    let mut rows: Vec<_> = groups
        .iter()
        .map(|(key, totals)| (query.group_order_key(key, totals), query.group_row(key, totals)))
        .collect();
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    for (key, _) in &rows {
        assert_eq!(query.read_key(&key.to_json()).as_ref(), Some(key));
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn rooms() -> Vec<Json> {
    vec![
        json!({"floor": 1, "t": 20, "name": "b"}),
        json!({"floor": 1.0, "t": 21.5, "name": "a"}),
        json!({"floor": 2, "t": 9_007_199_254_740_993_i64}),
        json!({"floor": 2, "t": 1}),
        json!({"t": null}),
        json!({"floor": null, "t": "warm", "name": [1]}),
    ]
}

#[test]
fn functions_over_groups() {
    assert_eq!(
        groups(
            "SELECT T.floor, COUNT(), SUM(T.t) AS sum, MAX(T.name) AS m FROM DIGITALTWINS T GROUP BY T.floor",
            &rooms()
        ),
        [
            json!({"COUNT": 1}),
            json!({"floor": null, "COUNT": 1}),
            json!({"floor": 1, "COUNT": 2, "sum": 41.5, "m": "b"}),
            json!({"floor": 2, "COUNT": 2, "sum": 9_007_199_254_740_994_i64}),
        ]
    );
    assert_eq!(
        groups("SELECT MIN(t), MAX(t), AVG(floor), COUNT() AS n FROM DIGITALTWINS", &rooms()),
        [json!({"MIN": 1, "MAX": "warm", "AVG": 1.5, "n": 6})]
    );
    assert!(parse("SELECT MIN(t) FROM DIGITALTWINS").is_one_group());
}

#[test]
fn groups_in_order() {
    let by_count = "SELECT floor, COUNT() AS n FROM DIGITALTWINS GROUP BY floor ORDER BY n DESC, floor DESC";
    let found = groups(by_count, &rooms());
    assert_eq!(found.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 2, 1, 1]);
    assert_eq!(found[0]["floor"], 2);
    assert_eq!(
        groups("SELECT DISTINCT floor FROM DIGITALTWINS ORDER BY floor", &rooms()),
        [json!({}), json!({"floor": null}), json!({"floor": 1}), json!({"floor": 2})]
    );
}

#[test]
fn rows_in_order() {
    let query = parse("SELECT T.name AS n FROM DIGITALTWINS T ORDER BY n DESC, T.t");
    let values = [
        json!({"name": {"b": 1}}),
        json!({"name": [2]}),
        json!({"name": [1, 9]}),
        json!({"name": "é"}),
        json!({"name": "z", "t": 1}),
        json!({"name": "z", "t": 1.5}),
        json!({"name": 3}),
        json!({"name": 2.5}),
        json!({"name": true}),
        json!({"name": null}),
        json!({}),
    ];
    let keys: Vec<_> = values.iter().map(|value| query.order_key(&Bindings::one(value))).collect();
    assert!(keys.is_sorted());
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn new_words_are_names_where_azure_takes_them_as_names() {
    for text in [
        "SELECT distinct FROM DIGITALTWINS",
        "SELECT distinct AS d FROM DIGITALTWINS",
        "SELECT distinct.x FROM DIGITALTWINS",
        "SELECT max, min, sum, avg, count, offset, explain FROM DIGITALTWINS",
        "SELECT offset FROM DIGITALTWINS offset WHERE offset.offset = 5",
        "SELECT * FROM DIGITALTWINS explain WHERE desc = 5 AND asc = 1",
        "SELECT * FROM DIGITALTWINS distinct",
    ] {
        let query = parse(text);
        assert!(!query.is_grouped() && query.offset() == 0 && query.order().is_empty(), "{text}");
    }
    assert_eq!(parse("SELECT * FROM DIGITALTWINS OFFSET 5").offset(), 5);
    assert_eq!(parse("SELECT * FROM DIGITALTWINS T OFFSET 5").offset(), 5);
    assert!(parse("explain select count() from digitaltwins").is_explain());
    assert!(matches!(parse("SELECT DISTINCT * FROM DIGITALTWINS").select(), SelectList::All));
    assert!(parse("SELECT DISTINCT TOP(3) T.a, T.b FROM DIGITALTWINS T").is_grouped());
}

#[test]
fn refusals_say_what_and_where() {
    for (text, offset, message) in [
        ("SELECT T.a FROM DIGITALTWINS T GROUP BY T.b", 7, "a is neither in GROUP BY nor in a function"),
        ("SELECT * FROM DIGITALTWINS T GROUP BY T.b", 7, "cannot be used with GROUP BY"),
        ("SELECT DISTINCT COUNT() FROM DIGITALTWINS", 7, "DISTINCT has no meaning with groups or functions"),
        (
            "SELECT MIN(a), MIN(b) FROM DIGITALTWINS",
            15,
            "two columns are called MIN: name one of them with AS",
        ),
        ("SELECT MIN() FROM DIGITALTWINS", 11, "expected the property to compute with"),
        ("SELECT COUNT(a) FROM DIGITALTWINS", 13, "expected ')'"),
        (
            "SELECT a, COUNT() FROM DIGITALTWINS GROUP BY a ORDER BY b",
            56,
            "ordered by a column of the select list: a, COUNT",
        ),
        ("SELECT COUNT() FROM DIGITALTWINS ORDER BY a", 33, "ORDER BY has no meaning with it"),
        ("SELECT COUNT() FROM DIGITALTWINS OFFSET 1", 33, "OFFSET has no meaning with it"),
        ("SELECT * FROM DIGITALTWINS T OFFSET x", 36, "expected how many rows to pass over"),
        ("SELECT * FROM DIGITALTWINS T ORDER T.a", 35, "expected BY"),
        ("SELECT * FROM DIGITALTWINS T ORDER BY T.a UP", 42, "expected ',', OFFSET or the end of the query"),
        ("SELECT * FROM DIGITALTWINS T ORDER BY", 37, "expected a property or a column to order by"),
        (
            "SELECT T.a, COUNT() FROM DIGITALTWINS T GROUP BY T.a ORDER BY COUNT() DESC",
            62,
            "ordered by its name, not by a function: write COUNT,",
        ),
        ("SELECT TOP(1) DISTINCT T.b FROM DIGITALTWINS T", 14, "DISTINCT stands before TOP"),
        ("SELECT T.n AS x, T.s AS x FROM DIGITALTWINS T", 17, "two columns are called x"),
        ("SELECT DISTINCT T.n AS x, T.s AS x FROM DIGITALTWINS T", 26, "two columns are called x"),
        ("EXPLAIN", 7, "missing SELECT at the end of the query"),
    ] {
        let error = twins::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{text}\n  {error}");
        assert_eq!(error.offset, offset, "{text}\n  {error}");
    }
}
