//! Generated queries over generated graphs give what a naive evaluator gives: nested loops over everything, without a
//! plan, an index or a batch.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pollux_model::digital_twin::Relationship;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::property_indexes::{IndexedProperty, Made, ValueKind};
use pollux_store::{Batch, Expect, Write};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::queries::rows;
use super::*;

mod graph;
mod naive;

use graph::{Graph, compare_text};
use naive::Row;

const MODELS: [&str; 3] = [ROOM, HOTEL_ROOM, FLOOR];
/// What `x` is asked to be one of, as queries write it.
const POOL: [&str; 6] = ["1", "2.0", "'s'", "'st'", "true", "''"];
const NAMES: [&str; 2] = ["contains", "feeds"];

/// A relationship of a pattern.
#[derive(Debug, Clone)]
struct Part {
    /// Along, against, either.
    direction: usize,
    names: Vec<usize>,
    min: u32,
    max: u32,
    variable: bool,
    /// Which twin it leads to: a new one, or one of those before.
    to: Option<usize>,
}

#[derive(Debug, Clone)]
enum Origin {
    Relationships,
    /// For each JOIN: from which of the twins before, name.
    Twins(Vec<(usize, usize)>),
    Pattern(Vec<Part>),
}

#[derive(Debug, Clone)]
enum Test {
    X(usize, &'static str, i64),
    /// A text: how it compares, or begins.
    Text(usize, &'static str, &'static str),
    /// One of some of [`POOL`].
    Among(usize, Vec<usize>),
    Id(usize, Vec<usize>),
    Model(usize, usize, bool),
    W(usize, &'static str, i64),
    Ends(bool, Vec<usize>),
    Not(Box<Test>),
    Or(Box<Test>, Box<Test>),
}

#[derive(Debug, Clone)]
enum Show {
    Columns,
    Count,
    Distinct,
    Groups,
    Ordered { descending: bool, offset: usize, top: Option<usize> },
    Offset(usize),
}

#[derive(Debug, Clone)]
struct Asked {
    from: Origin,
    tests: Vec<Test>,
    show: Show,
}

impl Asked {
    /// How many twins it names: `a0`, `a1`, ..
    fn width(&self) -> usize {
        match &self.from {
            Origin::Relationships => 0,
            Origin::Twins(joins) => joins.len() + 1,
            Origin::Pattern(parts) => 1 + parts.iter().filter(|part| part.to.is_none()).count(),
        }
    }

    /// The relationships that have a name: `r0`, `r1`, ..
    fn variables(&self) -> Vec<usize> {
        match &self.from {
            Origin::Relationships => vec![0],
            Origin::Twins(joins) => (0..joins.len()).collect(),
            Origin::Pattern(parts) => {
                parts.iter().enumerate().filter(|(_, part)| part.variable).map(|(number, _)| number).collect()
            }
        }
    }

    fn text(&self) -> String {
        let from = match &self.from {
            Origin::Relationships => "RELATIONSHIPS r0".to_owned(),
            Origin::Twins(joins) => {
                joins.iter().enumerate().fold("DIGITALTWINS a0".to_owned(), |text, (at, (from, name))| {
                    let from = from % (at + 1);
                    format!("{text} JOIN a{} RELATED a{from}.{} r{at}", at + 1, NAMES[*name])
                })
            }
            Origin::Pattern(parts) => {
                let mut next = 1;
                parts.iter().enumerate().fold("DIGITALTWINS MATCH (a0)".to_owned(), |text, (at, part)| {
                    let to = part.to.map_or(next, |to| to % next);
                    next = next.max(to + 1);
                    let names: Vec<&str> = part.names.iter().map(|name| NAMES[*name]).collect();
                    let names =
                        if names.is_empty() { String::new() } else { format!(":{}", names.join("|")) };
                    let inside = match (part.variable, part.min, part.max) {
                        (true, ..) => format!("r{at}{names}"),
                        (false, 1, 1) => names,
                        (false, 1, max) => format!("{names}*..{max}"),
                        (false, min, max) if min == max => format!("{names}*{max}"),
                        (false, min, max) => format!("{names}*{}..{max}", min - 1),
                    };
                    let (left, right) = [("-", "->"), ("<-", "-"), ("-", "-")][part.direction];
                    format!("{text}{left}[{inside}]{right}(a{to})")
                })
            }
        };
        let tests: Vec<String> = self.tests.iter().map(Test::text).collect();
        let filter = if tests.is_empty() { String::new() } else { format!(" WHERE {}", tests.join(" AND ")) };
        let twins = (0..self.width()).map(|at| format!("a{at}.$dtId AS a{at}"));
        let edges = self.variables().into_iter().map(|at| format!("r{at}.$relationshipId AS r{at}"));
        let columns: Vec<String> = twins.chain(edges).collect();
        let columns = columns.join(", ");
        let value = self.value();
        match &self.show {
            Show::Columns => format!("SELECT {columns} FROM {from}{filter}"),
            Show::Count => format!("SELECT COUNT() FROM {from}{filter}"),
            Show::Distinct => format!("SELECT DISTINCT {value} AS v FROM {from}{filter}"),
            Show::Groups => format!(
                "SELECT {value} AS v, COUNT(), SUM({value}) AS s FROM {from}{filter} GROUP BY {value} ORDER BY v DESC"
            ),
            Show::Ordered { descending, offset, top } => {
                let top = top.map_or(String::new(), |top| format!("TOP({top}) "));
                let descending = if *descending { " DESC" } else { "" };
                format!(
                    "SELECT {top}{columns}, {value} AS v FROM {from}{filter} ORDER BY v{descending} OFFSET {offset}"
                )
            }
            Show::Offset(offset) => format!("SELECT {columns} FROM {from}{filter} OFFSET {offset}"),
        }
    }

    /// What rows are ordered and grouped by.
    fn value(&self) -> String {
        if self.width() == 0 { "r0.w".to_owned() } else { format!("a{}.x", self.width() - 1) }
    }

    fn value_of(&self, row: &Row) -> Option<Value> {
        match row.twins.last() {
            Some(twin) => twin.get("x").cloned(),
            None => row.edges[0].as_ref().and_then(|edge| edge.get("w").cloned()),
        }
    }

    fn columns_of(&self, row: &Row) -> Value {
        let mut shown = serde_json::Map::new();
        for (at, twin) in row.twins.iter().enumerate() {
            shown.insert(format!("a{at}"), twin["$dtId"].clone());
        }
        for at in self.variables() {
            shown.insert(format!("r{at}"), row.edges[at].as_ref().unwrap()["$relationshipId"].clone());
        }
        Value::Object(shown)
    }
}

impl Test {
    fn text(&self) -> String {
        let ids = |ids: &[usize]| ids.iter().map(|id| format!("'t{id}'")).collect::<Vec<_>>().join(", ");
        match self {
            Self::X(twin, op, value) => format!("a{twin}.x {op} {value}"),
            Self::Text(twin, "STARTSWITH", text) => format!("STARTSWITH(a{twin}.x, '{text}')"),
            Self::Text(twin, op, text) => format!("a{twin}.x {op} '{text}'"),
            Self::Among(twin, list) => {
                let list: Vec<_> = list.iter().map(|at| POOL[*at]).collect();
                format!("a{twin}.x IN [{}]", list.join(", "))
            }
            Self::Id(twin, list) if list.len() == 1 => format!("a{twin}.$dtId = {}", ids(list)),
            Self::Id(twin, list) => format!("a{twin}.$dtId IN [{}]", ids(list)),
            Self::Model(twin, model, true) => format!("IS_OF_MODEL(a{twin}, '{}', exact)", MODELS[*model]),
            Self::Model(twin, model, false) => format!("IS_OF_MODEL(a{twin}, '{}')", MODELS[*model]),
            Self::W(edge, op, value) => format!("r{edge}.w {op} {value}"),
            Self::Ends(true, list) => format!("r0.$sourceId IN [{}]", ids(list)),
            Self::Ends(false, list) => format!("r0.$targetId IN [{}]", ids(list)),
            Self::Not(test) => format!("NOT ({})", test.text()),
            Self::Or(left, right) => format!("({} OR {})", left.text(), right.text()),
        }
    }

    fn holds(&self, row: &Row) -> Option<bool> {
        let compare = |value: Option<&Value>, op: &str, wanted: i64| {
            let value = value?;
            let order = value.as_f64().map(|value| value.partial_cmp(&(wanted as f64)).unwrap());
            match op {
                "=" => Some(order == Some(Ordering::Equal)),
                "!=" => Some(order != Some(Ordering::Equal)),
                "<" => order.map(Ordering::is_lt),
                _ => order.map(Ordering::is_ge),
            }
        };
        let among = |value: &Value, list: &[usize]| Some(list.iter().any(|id| *value == format!("t{id}")));
        match self {
            Self::X(twin, op, value) => compare(row.twins[*twin].get("x"), op, *value),
            Self::Text(twin, op, text) => compare_text(row.twins[*twin].get("x")?, op, text),
            Self::Among(twin, list) => {
                let value = row.twins[*twin].get("x")?;
                let same = |at: &usize| match (POOL[*at], value) {
                    ("1", value) => value.as_f64() == Some(1.0),
                    ("2.0", value) => value.as_f64() == Some(2.0),
                    ("true", value) => *value == json!(true),
                    (text, value) => value.as_str() == Some(text.trim_matches('\'')),
                };
                Some(list.iter().any(same))
            }
            Self::Id(twin, list) => among(&row.twins[*twin]["$dtId"], list),
            Self::Model(twin, model, exact) => {
                let actual = &row.twins[*twin]["$metadata"]["$model"];
                let derived = !exact && MODELS[*model] == ROOM && actual == HOTEL_ROOM;
                Some(actual == MODELS[*model] || derived)
            }
            Self::W(edge, op, value) => compare(row.edges[*edge].as_ref().unwrap().get("w"), op, *value),
            Self::Ends(true, list) => among(&row.edges[0].as_ref().unwrap()["$sourceId"], list),
            Self::Ends(false, list) => among(&row.edges[0].as_ref().unwrap()["$targetId"], list),
            Self::Not(test) => test.holds(row).map(|holds| !holds),
            Self::Or(left, right) => match (left.holds(row), right.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

/// Undefined, null, Booleans, numbers, strings.
fn order(left: &Option<Value>, right: &Option<Value>) -> Ordering {
    let rank = |value: &Option<Value>| match value {
        None => 0,
        Some(Value::Null) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::Number(_)) => 3,
        Some(_) => 4,
    };
    rank(left).cmp(&rank(right)).then_with(|| match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().unwrap().partial_cmp(&right.as_f64().unwrap()).unwrap()
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left.cmp(right),
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        _ => Ordering::Equal,
    })
}

fn sorted(mut rows: Vec<Value>) -> Vec<String> {
    rows.sort_by_key(ToString::to_string);
    rows.iter().map(ToString::to_string).collect()
}

/// Compares an answer with what the naive evaluator finds.
fn check(asked: &Asked, naive: &[Row], mut answer: Vec<Value>) {
    let text = asked.text();
    let columns: Vec<Value> = naive.iter().map(|row| asked.columns_of(row)).collect();
    let mut values: Vec<Option<Value>> = naive.iter().map(|row| asked.value_of(row)).collect();
    values.sort_by(order);
    match &asked.show {
        Show::Columns => assert_eq!(sorted(answer), sorted(columns), "{text}"),
        Show::Count => assert_eq!(answer, [json!({ "COUNT": naive.len() })], "{text}"),
        Show::Offset(offset) => {
            assert_eq!(answer.len(), naive.len().saturating_sub(*offset), "{text}");
            assert!(answer.iter().all(|row| columns.contains(row)), "{text}");
        }
        Show::Distinct => {
            values.dedup_by(|left, right| order(left, right).is_eq());
            let expected =
                values.into_iter().map(|value| value.map_or(json!({}), |value| json!({ "v": value })));
            assert_eq!(numbers(answer), numbers(expected.collect()), "{text}");
        }
        Show::Groups => {
            let mut groups: Vec<(Option<Value>, u64, Option<f64>)> = Vec::new();
            for value in values.into_iter().rev() {
                let number = value.as_ref().and_then(Value::as_f64);
                match groups.last_mut().filter(|group| order(&group.0, &value).is_eq()) {
                    Some(group) => {
                        group.1 += 1;
                        group.2 = group.2.map(|sum| sum + number.unwrap());
                    }
                    None => groups.push((value, 1, number)),
                }
            }
            let expected = groups.into_iter().map(|(value, count, sum)| {
                let members = [("v", value), ("COUNT", Some(count.into())), ("s", sum.map(Value::from))];
                members
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect::<Value>()
            });
            assert_eq!(numbers(answer), numbers(expected.collect()), "{text}");
        }
        Show::Ordered { descending, offset, top } => {
            if *descending {
                values.reverse();
            }
            let expected: Vec<_> = values.into_iter().skip(*offset).take(top.unwrap_or(usize::MAX)).collect();
            assert_eq!(answer.len(), expected.len(), "{text}");
            for (row, expected) in answer.iter_mut().zip(&expected) {
                let value = row.as_object_mut().unwrap().remove("v");
                assert!(order(&value, expected).is_eq(), "{text}: {value:?} where {expected:?} belongs");
            }
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            columns.iter().for_each(|row| *counts.entry(row.to_string()).or_default() += 1);
            answer.iter().for_each(|row| *counts.entry(row.to_string()).or_default() -= 1);
            assert!(counts.values().all(|count| *count >= 0), "{text}");
        }
    }
}

/// 1 and 1.0 are the same.
fn numbers(rows: Vec<Value>) -> Vec<BTreeMap<String, Value>> {
    let plain = |value: &Value| value.as_f64().map_or(value.clone(), Value::from);
    rows.iter()
        .map(|row| {
            row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        })
        .collect()
}

fn graph() -> impl Strategy<Value = Graph> {
    let x = prop_oneof![
        Just(json!("absent")),
        Just(json!(null)),
        Just(json!(true)),
        prop::sample::select(vec!["s", "", "st", "s\0", "ß", "true"]).prop_map(Value::from),
        Just(json!(1.0)),
        (0_i64..4).prop_map(Value::from),
    ];
    let twins = prop::collection::vec((0_usize..3, x), 1..7);
    let edges = prop::collection::vec((0_usize..7, 0_usize..7, 0_usize..2, 0_i64..3), 0..10);
    (twins, edges).prop_map(|(twins, edges)| Graph { twins, edges })
}

fn part() -> impl Strategy<Value = Part> {
    let hops =
        prop_oneof![3 => Just((1, 1)), 1 => (1_u32..4, 0_u32..3).prop_map(|(min, more)| (min, min + more))];
    let names = prop::collection::vec(0_usize..2, 0..3);
    let to = prop_oneof![4 => Just(None), 1 => (0_usize..3).prop_map(Some)];
    (0_usize..3, names, hops, any::<bool>(), to).prop_map(|(direction, names, (min, max), variable, to)| {
        Part { direction, names, min, max, variable: variable && max == 1, to }
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let from = prop_oneof![
        1 => Just(Origin::Relationships),
        1 => Just(Origin::Twins(Vec::new())),
        3 => prop::collection::vec((0_usize..4, 0_usize..2), 1..4).prop_map(Origin::Twins),
        5 => prop::collection::vec(part(), 0..3).prop_map(Origin::Pattern),
    ];
    let show = prop_oneof![
        4 => Just(Show::Columns),
        2 => Just(Show::Count),
        1 => Just(Show::Distinct),
        1 => Just(Show::Groups),
        2 => (any::<bool>(), 0_usize..3, prop::option::of(1_usize..5))
            .prop_map(|(descending, offset, top)| Show::Ordered { descending, offset, top }),
        1 => (0_usize..4).prop_map(Show::Offset),
    ];
    (from, show).prop_flat_map(|(from, show)| {
        let asked = Asked { from, tests: Vec::new(), show };
        let (width, variables) = (asked.width(), asked.variables());
        prop::collection::vec(test(width, variables), 0..3)
            .prop_map(move |tests| Asked { tests, ..asked.clone() })
    })
}

/// A condition on one of so many twins or one of these relationships.
fn test(width: usize, variables: Vec<usize>) -> BoxedStrategy<Test> {
    let op = || prop::sample::select(vec!["=", "!=", "<", ">="]);
    let ids = || prop::collection::vec(0_usize..7, 1..4);
    let mut leaves: Vec<BoxedStrategy<Test>> = Vec::new();
    if width > 0 {
        leaves
            .push((0..width, op(), 0_i64..4).prop_map(|(twin, op, value)| Test::X(twin, op, value)).boxed());
        let how = prop::sample::select(vec!["=", "<=", ">", "STARTSWITH"]);
        let text = prop::sample::select(vec!["s", "st", "", "ß", "t"]);
        leaves.push((0..width, how, text).prop_map(|(twin, how, text)| Test::Text(twin, how, text)).boxed());
        let among = prop::collection::vec(0_usize..POOL.len(), 1..4);
        leaves.push((0..width, among).prop_map(|(twin, list)| Test::Among(twin, list)).boxed());
        leaves.push((0..width, ids()).prop_map(|(twin, ids)| Test::Id(twin, ids)).boxed());
        leaves.push(
            (0..width, 0_usize..3, any::<bool>())
                .prop_map(|(twin, model, exact)| Test::Model(twin, model, exact))
                .boxed(),
        );
    } else {
        leaves.push((any::<bool>(), ids()).prop_map(|(source, ids)| Test::Ends(source, ids)).boxed());
    }
    if !variables.is_empty() {
        let edge = prop::sample::select(variables);
        leaves.push((edge, op(), 0_i64..3).prop_map(|(edge, op, value)| Test::W(edge, op, value)).boxed());
    }
    prop::strategy::Union::new(leaves)
        .prop_recursive(2, 6, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|test| Test::Not(Box::new(test))),
                (inner.clone(), inner).prop_map(|(left, right)| Test::Or(Box::new(left), Box::new(right))),
            ]
        })
        .boxed()
}

fn questions() -> impl Strategy<Value = Vec<(Asked, usize)>> {
    prop::collection::vec((asked(), prop::sample::select(vec![1_usize, 2, 3, 7, 1000])), 1..25)
}

/// What is left out proves nothing: it must stay the exception.
#[test]
fn few_questions_have_too_many_ways() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut asked, mut left_out) = (0, 0);
    for _ in 0..200 {
        let (graph, questions) = (graph(), questions()).new_tree(&mut runner).unwrap().current();
        asked += questions.len();
        left_out += questions.iter().filter(|(question, _)| question.rows(&graph).is_none()).count();
    }
    assert!(left_out * 20 < asked, "{left_out} of {asked}");
}

async fn ask(world: &World, graph: &Graph, questions: &[(Asked, usize)]) {
    for (asked, limit) in questions {
        let text = asked.text();
        // A page evaluates an ordered query anew: what has very many rows would be asked for one by one for minutes.
        let Some(naive) = asked.rows(graph) else { continue };
        let answer = rows(world, &text, *limit).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        check(asked, &naive, answer);
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queries_give_what_a_naive_evaluator_gives(graph in graph(), questions in questions()) {
        run(async {
            let world = World::bounded(Limits { graph_memory: 0, ..Limits::default() }).await;
            graph.store(&world).await;
            ask(&world, &graph, &questions).await;
        });
    }

    /// From a graph in memory: read from the store, or made by commits and with an index on what is asked for.
    #[test]
    fn queries_give_the_same_from_memory(graph in graph(), questions in questions(), fed in any::<bool>()) {
        run(async {
            let world = World::new().await;
            if fed {
                world.remember().await;
                world.twins.graphs.adopt(&world.instance, "x");
            }
            graph.store(&world).await;
            world.remember().await;
            ask(&world, &graph, &questions).await;
        });
    }
}

/// Indexes on what is asked for.
async fn index(world: &World) {
    for kind in [ValueKind::Text, ValueKind::Number] {
        let property = IndexedProperty::new(vec!["x".into()], kind).unwrap();
        assert_eq!(world.twins.adopt_index(&world.instance, &property).await.unwrap(), Made::Ready);
    }
}

/// The same on PostgreSQL, if there is one: without indexes, and with some that were there before the graph or came later.
#[test]
fn queries_give_the_same_on_postgresql() {
    let Some(server) = pollux_testkit::Postgres::start() else { return };
    let cases = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&(graph(), questions(), 0..3), |(graph, questions, indexed)| {
            cases.set(cases.get() + 1);
            let database = server.create_database(&format!("oracle{}", cases.get()));
            run(async {
                let store = PostgresStore::connect(&database, PostgresOptions::default()).await.unwrap();
                let world = World::on(Arc::new(store), tempfile::tempdir().unwrap(), Limits::default());
                world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
                if indexed == 1 {
                    index(&world).await;
                }
                graph.store(&world).await;
                if indexed == 2 {
                    index(&world).await;
                }
                ask(&world, &graph, &questions).await;
            });
            Ok(())
        })
        .unwrap();
}
