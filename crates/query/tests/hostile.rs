//! Any text is answered without a panic or an exhausted stack; conditions mean what a naive evaluator says; hints
//! never lose a match.

use pollux_query::{
    Limits, PredicateOp, devices, routing,
    twins::{self, Bindings, ModelTree},
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

struct NoModels;

impl ModelTree for NoModels {
    fn is_of_model(&self, model: &str, ancestor: &str, _exact: bool) -> bool {
        model == ancestor
    }
}

const WIDE: Limits = Limits { max_chars: 10_000_000, max_depth: 100, max_joins: 1_000, max_hops: 1_000 };

#[test]
fn deep_nesting_is_refused() {
    for nested in [
        format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{} a", "NOT ".repeat(10_000)),
        format!("a = {}1", "-".repeat(10_000)),
        format!("{}a{}", "IS_DEFINED(".repeat(10_000), ")".repeat(10_000)),
        "(".repeat(100_000),
    ] {
        let twins = twins::parse_with(&format!("SELECT * FROM DIGITALTWINS WHERE {nested}"), &WIDE);
        assert!(twins.is_err_and(|error| error.message.contains("deeper than the allowed 100 levels")));
        assert!(routing::parse_with(&nested, &WIDE).is_err());
        assert!(devices::parse_with(&format!("SELECT * FROM devices WHERE {nested}"), &WIDE).is_err());
    }
    let allowed = format!("{}a = 1{}", "(".repeat(100), ")".repeat(100));
    assert!(routing::parse(&allowed).is_ok());
}

#[test]
fn the_deepest_allowed_tree_fits_the_stack() {
    let open = "a = 1 OR b AND NOT 2 > 1 + 2 * as_number(".repeat(50);
    let condition = format!("{open}1{}", ")".repeat(50));
    let query = devices::parse_with(&format!("SELECT * FROM devices WHERE {condition}"), &WIDE).unwrap();
    assert!(query.matches(&json!({"a": 1})));
    assert!(!query.matches(&json!({})));
    assert!(!format!("{query:?}").is_empty());
    query.hints();
}

#[test]
fn long_chains_are_flat() {
    let chain = |operator: &str| (0..20_000).map(|at| format!("a = {at}")).collect::<Vec<_>>().join(operator);
    for (condition, expected) in [(chain(" OR "), true), (chain(" AND "), false)] {
        let query =
            twins::parse_with(&format!("SELECT * FROM DIGITALTWINS WHERE {condition}"), &WIDE).unwrap();
        assert_eq!(query.matches(&Bindings::one(&json!({"a": 19_999})), &NoModels), expected);
        query.hints();
    }
    let mixed = (0..20_000).map(|at| format!("a = {at} AND b = 1")).collect::<Vec<_>>().join(" OR ");
    routing::parse_with(&mixed, &WIDE).unwrap();
    let sum = vec!["1"; 20_000].join(" + ");
    assert!(
        devices::parse_with(&format!("SELECT * FROM devices WHERE {sum} = 20000"), &WIDE)
            .unwrap()
            .matches(&json!({}))
    );
    let ids = (0..50_000).map(|at| format!("'id{at}'")).collect::<Vec<_>>().join(",");
    let query =
        twins::parse_with(&format!("SELECT * FROM DIGITALTWINS WHERE $dtId IN [{ids}]"), &WIDE).unwrap();
    assert_eq!(query.hints()[0].ids.as_ref().map(Vec::len), Some(50_000));
}

/// A condition, its text and its naive meaning.
#[derive(Debug, Clone)]
enum Tree {
    Compare(&'static str, &'static str, Json),
    Truth(&'static str),
    Member(&'static str, bool, Vec<Json>),
    Defined(&'static str),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Compare(name, op, value) => format!("{name} {op} {value}"),
            Self::Truth(name) => (*name).to_owned(),
            Self::Member(name, negated, values) => {
                format!("{name} {} {}", if *negated { "NIN" } else { "IN" }, Json::from(values.clone()))
            }
            Self::Defined(name) => format!("IS_DEFINED({name})"),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            // Without parentheses around AND: precedence must do it.
            Self::And(left, right) => format!("{} AND {}", left.in_and(), right.in_and()),
            Self::Or(left, right) => format!("{} OR {}", left.text(), right.text()),
        }
    }

    fn in_and(&self) -> String {
        if matches!(self, Self::Or(..)) { format!("({})", self.text()) } else { self.text() }
    }

    /// True, false or unknown.
    fn meaning(&self, document: &Json) -> Option<bool> {
        match self {
            Self::Compare(name, op, value) => naive(document.get(name)?, op, value),
            Self::Truth(name) => document.get(name)?.as_bool(),
            Self::Member(name, negated, values) => {
                let found = document.get(name)?;
                Some(values.iter().any(|value| naive(found, "=", value) == Some(true)) != *negated)
            }
            Self::Defined(name) => Some(document.get(name).is_some()),
            Self::Not(inner) => inner.meaning(document).map(|value| !value),
            Self::And(left, right) => match (left.meaning(document), right.meaning(document)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.meaning(document), right.meaning(document)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn naive(left: &Json, op: &str, right: &Json) -> Option<bool> {
    let order = match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Json::String(left), Json::String(right)) => Some(left.cmp(right)),
        (Json::Bool(left), Json::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let equal = order.map_or_else(|| left.is_null() && right.is_null(), std::cmp::Ordering::is_eq);
    match op {
        "=" => Some(equal),
        "!=" => Some(!equal),
        "<" => order.map(std::cmp::Ordering::is_lt),
        "<=" => order.map(std::cmp::Ordering::is_le),
        ">" => order.map(std::cmp::Ordering::is_gt),
        _ => order.map(std::cmp::Ordering::is_ge),
    }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-2_i64..3).prop_map(Json::from),
        prop_oneof![Just(0.5), Just(1.0), Just(-1.5)].prop_map(Json::from),
        prop_oneof![Just("x"), Just("y"), Just("")].prop_map(Json::from),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("$dtId")]
}

fn tree() -> impl Strategy<Value = Tree> {
    let op = prop_oneof![Just("="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        4 => (name(), op, scalar()).prop_map(|(name, op, value)| Tree::Compare(name, op, value)),
        1 => name().prop_map(Tree::Truth),
        2 => (name(), any::<bool>(), prop::collection::vec(scalar(), 0..4))
            .prop_map(|(name, negated, values)| Tree::Member(name, negated, values)),
        1 => name().prop_map(Tree::Defined),
    ];
    leaf.prop_recursive(6, 40, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Tree::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Tree::Or(Box::new(left), Box::new(right))),
        ]
    })
}

/// Twins have an identity, and it is a string.
fn document() -> impl Strategy<Value = Json> {
    let property = prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(str::to_owned);
    let id = prop_oneof![Just("x"), Just("y"), Just("z")];
    (id, prop::collection::btree_map(property, scalar(), 0..4)).prop_map(|(id, members)| {
        let identity = ("$dtId".to_owned(), Json::from(id));
        Json::Object(std::iter::once(identity).chain(members).collect())
    })
}

/// Words that make accidental syntax likely.
fn soup() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(vec![
            "SELECT", "*", "FROM", "MATCH", "(a)", "-[", "]->", "<-[", "]-", "|", ":", "..", "GROUP BY", "ORDER BY", "OFFSET", "DISTINCT", "MAX(", "DIGITALTWINS", "devices", "WHERE", "TOP(1)", "COUNT()", "AND", "OR", "NOT", "IN",
            "[", "]", "(", ")", "'x'", "1", "-", ".", ",", "=", "<", "T", "$dtId", "IS_OF_MODEL", "JOIN", "RELATED",
            "T.a", "AS", "$body.x[0]", "concat", "[[", "]]", "0x", "1e", "\\", "'", "substring", "%",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

fn everything(text: &str) {
    for error in [
        twins::parse(text).map(|query| drop(query.hints())).err(),
        devices::parse(text).map(|query| query.matches(&json!({"x": [1]}))).err(),
        routing::parse(text).map(drop).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(text.is_char_boundary(error.offset));
        assert_eq!(error.line as usize, text[..error.offset].matches('\n').count() + 1);
        let line = text[..error.offset].rsplit('\n').next().unwrap_or_default();
        assert_eq!(error.column as usize, line.chars().count() + 1);
        assert!(!error.message.is_empty());
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(?s).{0,200}") {
        everything(&text);
    }

    #[test]
    fn any_words_are_answered(text in soup()) {
        everything(&text);
        everything(&format!("SELECT * FROM DIGITALTWINS T WHERE {text}"));
        everything(&format!("SELECT * FROM devices WHERE {text}"));
        everything(&format!("SELECT {text} FROM DIGITALTWINS T"));
        everything(&format!("SELECT * FROM DIGITALTWINS MATCH (T) {text}"));
        everything(&format!("SELECT COUNT() FROM DIGITALTWINS T GROUP BY T.a {text}"));
    }

    #[test]
    fn conditions_mean_what_they_say(tree in tree(), document in document()) {
        let text = tree.text();
        let expected = tree.meaning(&document) == Some(true);
        let twins = twins::parse(&format!("SELECT * FROM DIGITALTWINS WHERE {text}")).unwrap();
        prop_assert_eq!(twins.matches(&Bindings::one(&document), &NoModels), expected, "{}", &text);
        let devices = devices::parse(&format!("SELECT * FROM devices WHERE {text}")).unwrap();
        prop_assert_eq!(devices.matches(&document), expected, "{}", &text);
        if expected {
            let hints = twins.hints().remove(0);
            let id = document.get("$dtId").and_then(Json::as_str).unwrap_or_default().to_owned();
            prop_assert!(hints.ids.is_none_or(|ids| ids.contains(&id)), "{}", &text);
            for predicate in hints.predicates {
                let found = document.get(&predicate.path[0]);
                let holds = match predicate.op {
                    PredicateOp::Defined => found.is_some(),
                    PredicateOp::In => predicate.value.as_array().unwrap().iter()
                        .any(|value| found.is_some_and(|found| naive(found, "=", value) == Some(true))),
                    op => found.is_some_and(|found| naive(found, symbol(op), &predicate.value) == Some(true)),
                };
                prop_assert!(holds, "{} of {}", &predicate.path[0], &text);
            }
        }
    }
}

fn symbol(op: PredicateOp) -> &'static str {
    match op {
        PredicateOp::Lt => "<",
        PredicateOp::Le => "<=",
        PredicateOp::Gt => ">",
        PredicateOp::Ge => ">=",
        PredicateOp::Eq | PredicateOp::In | PredicateOp::StartsWith | PredicateOp::Defined => "=",
    }
}
