//! Digital twins queries with `MATCH`: the documentation's examples as a table, and what is refused.

use pollux_query::twins::{self, Bindings, ModelTree, Need, StepDirection};
use serde_json::json;

struct NoModels;

impl ModelTree for NoModels {
    fn is_of_model(&self, model: &str, ancestor: &str, _exact: bool) -> bool {
        model == ancestor
    }
}

/// A pattern's steps: from, to, whether there is a variable, direction, names, hops.
fn steps(pattern: &str) -> String {
    let text = format!("SELECT * FROM DIGITALTWINS MATCH {pattern}");
    let query = twins::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(query.is_pattern());
    let name = |alias: u16| query.aliases()[usize::from(alias)].name.clone().unwrap_or_default();
    let steps = query.steps().iter().map(|step| {
        let (left, right) = match step.direction {
            StepDirection::Forward => ("", ">"),
            StepDirection::Backward => ("<", ""),
            StepDirection::Either => ("", ""),
        };
        let variable = step.relationship.map(name).unwrap_or_default();
        let (names, min, max) = (step.names.join("|"), step.min_hops, step.max_hops);
        format!("{}{left}-{variable}:{names}*{min}..={max}-{right}{}", name(step.from), name(step.to))
    });
    steps.collect::<Vec<_>>().join(" ")
}

#[test]
fn documented_patterns() {
    for (pattern, expected) in [
        ("(Building)-[]->(Sensor)", "Building-:*1..=1->Sensor"),
        ("(Room)<-[]-(Factory)", "Room<-:*1..=1-Factory"),
        ("(Factory)-[]-(Room)", "Factory-:*1..=1-Room"),
        ("(Building)-[:contains]-(Sensor)", "Building-:contains*1..=1-Sensor"),
        (
            "(Building)-[:contains|isAssociatedWith]-(Sensor)",
            "Building-:contains|isAssociatedWith*1..=1-Sensor",
        ),
        ("(Floor)-[*3]-(Room)", "Floor-:*3..=3-Room"),
        // "The starting limit isn't included in the range, while the ending limit is included."
        ("(Floor)-[*1..3]-(Room)", "Floor-:*2..=3-Room"),
        ("(Floor)-[*..2]-(Room)", "Floor-:*1..=2-Room"),
        ("(Floor)-[*0..2]-(Room)", "Floor-:*1..=2-Room"),
        ("(Floor)-[Rel]-(Cafe)", "Floor-Rel:*1..=1-Cafe"),
        ("(Floor)-[:contains|isAssociatedWith*3..5]->(Room)", "Floor-:contains|isAssociatedWith*4..=5->Room"),
        ("(Floor)-[r:contains|isAssociatedWith]->(Room)", "Floor-r:contains|isAssociatedWith*1..=1->Room"),
        (
            "(Floor)-[r:contains|isAssociatedWith]->(Cafe)<-[has|includes*..3]-(Room)",
            "Floor-r:contains|isAssociatedWith*1..=1->Cafe Cafe<-:has|includes*1..=3-Room",
        ),
        (
            "(Building)-[r1:isAssociatedWith]->(Floor)<-[r2:isAssociatedWith]-(Room)",
            "Building-r1:isAssociatedWith*1..=1->Floor Floor<-r2:isAssociatedWith*1..=1-Room",
        ),
        ("(a) - [ : [[GROUP]] * 2 ] -> ()", "a-:GROUP*2..=2->"),
        ("(a)-[]->()-[]->(a)", "a-:*1..=1-> -:*1..=1->a"),
        ("(Room)", ""),
        ("(Room) WHERE Room.$dtId = 'x'", ""),
        ("(Room) WHERE $dtId = 'x' ORDER BY name", ""),
    ] {
        assert_eq!(steps(pattern), expected, "{pattern}");
    }
}

#[test]
fn a_collection_may_be_named_if_the_pattern_has_it() {
    let query = twins::parse("SELECT T, r FROM DIGITALTWINS T MATCH (a)-[r]->(T) WHERE T.x = 1").unwrap();
    let step = &query.steps()[0];
    assert_eq!((step.from, step.to, step.relationship), (1, 0, Some(2)));
}

#[test]
fn rows_show_what_the_pattern_names() {
    let query = twins::parse("SELECT * FROM DIGITALTWINS MATCH (a)-[r]->()-[]->(b) WHERE r.x = 1").unwrap();
    let (a, b, r) = (json!({"$dtId": "a"}), json!({"$dtId": "b"}), json!({"x": 1}));
    let mut row = Bindings::default();
    row.bind(0, &a);
    row.bind(1, &r);
    row.bind(3, &b);
    assert!(query.matches(&row, &NoModels));
    assert_eq!(query.project(&row), json!({"a": a, "r": r, "b": b}));
    assert_eq!(query.needs(), [Need::Document, Need::Document, Need::Nothing, Need::Document]);
    let few = twins::parse("SELECT b.$dtId FROM DIGITALTWINS MATCH (a)-[]->(b) WHERE a.$dtId = 'x'").unwrap();
    assert_eq!(few.needs(), [Need::Id, Need::Id]);
}

#[test]
fn refusals_say_what_and_where() {
    for (pattern, at, message) in [
        ("Room-[]->(b)", 0, "expected a twin in parentheses, such as (room), found 'Room'"),
        ("(Building-[]-(Sensor)", 9, "expected ')', found '-'"),
        ("(a)->(b)", 4, "expected '[', found '>'"),
        ("(a)<-[]->(b)", 3, "a relationship has one direction"),
        ("(a)-[r*2]->(b)-[", 16, "expected a variable, ':', '*' or ']', found the end of the query"),
        ("(a)-[r:x*2]->(b)", 5, "r can stand for one relationship, not for several hops"),
        ("(a)-[:]->(b)", 6, "expected the name of a relationship"),
        ("(a)-[:x y]->(b)", 8, "expected '|', '*' or ']'"),
        ("(a)-[*]->(b)", 6, "expected a number of hops: *3 for three"),
        ("(a)-[*2..]->(b)", 9, "the greatest number of hops; it must be given"),
        ("(a)-[*3..3]->(b)", 5, "the first number is not included; write *3"),
        ("(a)-[*3..2]->(b)", 5, "the second number is greater than the first, not 3 and 2"),
        ("(a)-[*0]->(b)", 5, "a number of hops is 1 or more"),
        ("(a)-[*1.5]->(b)", 6, "expected a number of hops"),
        ("(a)-[*1001]->(b)", 5, "more than the allowed 1000 hops"),
        ("(a)-[r]->(r)", 10, "r is a relationship of this pattern, not a twin"),
        ("(a)-[r]->(b)-[r]->(c)", 14, "the alias r is declared twice"),
        ("(a)-[]->(b) MATCH (c)", 12, "there can be one MATCH"),
        ("(a)-[]->(b) JOIN c RELATED a.x", 12, "there can be one MATCH"),
        ("(a)-[]->(b) c", 12, "expected '-[', '<-[', WHERE or the end of the query"),
        ("(A)-[]->(b) WHERE a.$dtId = 'x'", 18, "there is no alias a; did you mean A?; declared: A, b"),
        ("(a)-[]->(b) WHERE IS_OF_MODEL('m')", 30, "needs to know which twin"),
        ("(a)-[r]->(b) WHERE IS_OF_MODEL(r, 'm')", 31, "a relationship has no model of its own"),
    ] {
        let before = "SELECT * FROM DIGITALTWINS MATCH ";
        let text = format!("{before}{pattern}");
        let error = twins::parse(&text).expect_err(&text);
        assert!(error.message.contains(message), "{text}\n  {error}");
        assert_eq!(error.offset, before.len() + at, "{text}\n  {error}");
    }
    for (text, offset, message) in [
        ("SELECT * FROM RELATIONSHIPS MATCH (a)", 28, "cannot be combined with MATCH"),
        ("SELECT T FROM DIGITALTWINS T MATCH (a)-[]->(b)", 29, "the pattern does not have the twin T"),
        (
            "SELECT B FROM DIGITALTWINS A JOIN B RELATED A.x MATCH (a)",
            48,
            "JOIN and MATCH cannot be combined",
        ),
        (
            "SELECT DISTINCT * FROM DIGITALTWINS MATCH (a)-[]->(b)",
            16,
            "name the columns that are to be distinct",
        ),
    ] {
        let error = twins::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{text}\n  {error}");
        assert_eq!(error.offset, offset, "{text}\n  {error}");
    }
}
