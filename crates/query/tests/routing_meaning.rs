//! Routing conditions of any shape against an evaluator that knows nothing of the parser: properties of either kind, paths into body
//! and twin with array elements, functions, arithmetic, and what is not there.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use pollux_query::routing::{self, RoutedMessage};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

#[derive(Debug, Clone)]
struct Message {
    application: BTreeMap<&'static str, &'static str>,
    system: BTreeMap<&'static str, &'static str>,
    body: Option<Json>,
    twin: Option<Json>,
}

impl RoutedMessage for Message {
    fn app_property(&self, name: &str) -> Option<&str> {
        self.application.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn system_property(&self, name: &str) -> Option<Cow<'_, str>> {
        self.system.get(name).map(|value| Cow::Borrowed(*value))
    }

    fn body(&self) -> Option<&Json> {
        self.body.as_ref()
    }

    fn twin(&self) -> Option<&Json> {
        self.twin.as_ref()
    }
}

/// Something with a value.
#[derive(Debug, Clone)]
enum Term {
    /// How it is written, and its name.
    Application(&'static str, &'static str),
    System(&'static str, &'static str),
    Body(&'static str, &'static str),
    Twin(&'static str, &'static str),
    Constant(Json),
    Undefined,
    Length(Box<Term>),
    AsNumber(Box<Term>),
    Lower(Box<Term>),
    Plus(Box<Term>, Box<Term>),
    Times(Box<Term>, i32),
}

/// Something that is true, false or unknown.
#[derive(Debug, Clone)]
enum Condition {
    Compare(Term, &'static str, Term),
    Truth(Term),
    Member(Term, bool, Vec<Json>),
    Is(&'static str, Term),
    StartsWith(Term, Term),
    Contains(Term, Term),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

impl Term {
    fn text(&self) -> String {
        match self {
            Self::Application(text, _)
            | Self::System(text, _)
            | Self::Body(text, _)
            | Self::Twin(text, _) => (*text).to_owned(),
            Self::Constant(Json::String(text)) => format!("'{text}'"),
            Self::Constant(value) => value.to_string(),
            Self::Undefined => "undefined".to_owned(),
            Self::Length(inner) => format!("length({})", inner.text()),
            Self::AsNumber(inner) => format!("AS_NUMBER({})", inner.text()),
            Self::Lower(inner) => format!("Lower({})", inner.text()),
            Self::Plus(left, right) => format!("({} + {})", left.text(), right.text()),
            Self::Times(left, by) => format!("({} * {by})", left.text()),
        }
    }

    /// `None`: undefined.
    fn value(&self, message: &Message) -> Option<Json> {
        let text = |value: Option<Json>| value?.as_str().map(str::to_owned);
        match self {
            Self::Application(_, name) => message.application.get(name).map(|value| json!(value)),
            Self::System(_, name) => message.system.get(name).map(|value| json!(value)),
            Self::Body(_, pointer) => message.body.as_ref()?.pointer(pointer).cloned(),
            Self::Twin(_, pointer) => message.twin.as_ref()?.pointer(pointer).cloned(),
            Self::Constant(value) => Some(value.clone()),
            Self::Undefined => None,
            Self::Length(inner) => text(inner.value(message)).map(|text| json!(text.chars().count())),
            Self::AsNumber(inner) => {
                let value = inner.value(message)?;
                if value.is_number() { Some(value) } else { read(value.as_str()?) }
            }
            Self::Lower(inner) => text(inner.value(message)).map(|text| json!(text.to_lowercase())),
            Self::Plus(left, right) => {
                let (left, right) = (left.value(message)?, right.value(message)?);
                Some(json!(number(&left)? + number(&right)?))
            }
            Self::Times(left, by) => Some(json!(number(&left.value(message)?)? * f64::from(*by))),
        }
    }
}

impl Condition {
    fn text(&self) -> String {
        match self {
            Self::Compare(left, op, right) => format!("{} {op} {}", left.text(), right.text()),
            Self::Truth(term) => term.text(),
            Self::Member(term, negated, values) => {
                let values: Vec<_> =
                    values.iter().map(|value| Term::Constant(value.clone()).text()).collect();
                let word = if *negated { "NIN" } else { "IN" };
                format!("{} {word} [{}]", term.text(), values.join(", "))
            }
            Self::Is(function, term) => format!("{function}({})", term.text()),
            Self::StartsWith(text, part) => format!("starts_with({}, {})", text.text(), part.text()),
            Self::Contains(text, part) => format!("CONTAINS({}, {})", text.text(), part.text()),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::And(left, right) => format!("({}) AND ({})", left.text(), right.text()),
            Self::Or(left, right) => format!("({}) OR ({})", left.text(), right.text()),
        }
    }

    fn meaning(&self, message: &Message) -> Option<bool> {
        let texts = |text: &Term, part: &Term| {
            let (text, part) = (text.value(message)?, part.value(message)?);
            Some((text.as_str()?.to_owned(), part.as_str()?.to_owned()))
        };
        match self {
            Self::Compare(left, op, right) => compare(&left.value(message)?, op, &right.value(message)?),
            Self::Truth(term) => term.value(message)?.as_bool(),
            Self::Member(term, negated, values) => {
                let value = term.value(message).filter(is_primitive)?;
                let found = values.iter().any(|one| compare(&value, "=", one) == Some(true));
                Some(found != *negated)
            }
            Self::Is(function, term) => {
                let value = term.value(message);
                Some(match (*function, &value) {
                    ("is_defined", found) => found.is_some(),
                    (_, None) => false,
                    ("is_null", Some(value)) => value.is_null(),
                    ("is_string", Some(value)) => value.is_string(),
                    ("is_number", Some(value)) => value.is_number(),
                    ("is_bool", Some(value)) => value.is_boolean(),
                    ("is_array", Some(value)) => value.is_array(),
                    ("is_object", Some(value)) => value.is_object(),
                    (_, Some(value)) => is_primitive(value),
                })
            }
            Self::StartsWith(text, part) => texts(text, part).map(|(text, part)| text.starts_with(&part)),
            Self::Contains(text, part) => texts(text, part).map(|(text, part)| text.contains(&part)),
            Self::Not(inner) => inner.meaning(message).map(|value| !value),
            Self::And(left, right) => match (left.meaning(message), right.meaning(message)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.meaning(message), right.meaning(message)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn is_primitive(value: &Json) -> bool {
    !value.is_array() && !value.is_object()
}

/// What an operator of arithmetic takes: numbers, and no text that reads as one.
fn number(value: &Json) -> Option<f64> {
    value.as_f64()
}

/// A text that reads as a number.
fn read(text: &str) -> Option<Json> {
    text.trim().parse::<f64>().ok().map(|value| json!(value))
}

/// All properties are text: one that reads as a number compares with numbers as one.
fn compare(left: &Json, op: &str, right: &Json) -> Option<bool> {
    let as_number = |value: &Json| value.as_str().and_then(read);
    match (left, right) {
        (Json::Number(_), Json::String(_)) if as_number(right).is_some() => {
            return compare(left, op, &as_number(right)?);
        }
        (Json::String(_), Json::Number(_)) if as_number(left).is_some() => {
            return compare(&as_number(left)?, op, right);
        }
        _ => {}
    }
    let order = match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Json::String(left), Json::String(right)) => Some(left.cmp(right)),
        (Json::Bool(left), Json::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let primitive = is_primitive(left) && is_primitive(right);
    let equal = order.map_or_else(|| left.is_null() && right.is_null(), Ordering::is_eq);
    match op {
        "=" => primitive.then_some(equal),
        "!=" | "<>" => primitive.then_some(!equal),
        "<" => order.map(Ordering::is_lt),
        "<=" => order.map(Ordering::is_le),
        ">" => order.map(Ordering::is_gt),
        _ => order.map(Ordering::is_ge),
    }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-2_i64..4).prop_map(Json::from),
        prop_oneof![Just(0.5), Just(1.0), Just(2.5)].prop_map(Json::from),
        prop_oneof![Just("x"), Just("Xy"), Just("1"), Just("0.5"), Just("")].prop_map(Json::from),
    ]
}

fn document() -> impl Strategy<Value = Json> {
    let list = prop::collection::vec(scalar(), 0..3);
    (scalar(), scalar(), list).prop_map(|(a, deep, list)| json!({"a": a, "o": {"deep": deep, "list": list}}))
}

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("x"), Just("Xy"), Just("1"), Just("0.5"), Just("2"), Just("")]
}

fn message() -> impl Strategy<Value = Message> {
    let application = prop::collection::btree_map(prop_oneof![Just("p"), Just("level")], text(), 0..3);
    let system = prop::collection::btree_map(prop_oneof![Just("messageId"), Just("userId")], text(), 0..3);
    let parts = (application, system, prop::option::of(document()), prop::option::of(document()));
    parts.prop_map(|(application, system, body, twin)| Message { application, system, body, twin })
}

/// A property, or a place in body or twin.
fn path() -> impl Strategy<Value = Term> {
    prop_oneof![
        Just(Term::Application("p", "p")),
        Just(Term::Application("LEVEL", "level")),
        Just(Term::Application("[[level]]", "level")),
        Just(Term::System("$messageId", "messageId")),
        Just(Term::System("$message-id", "messageId")),
        Just(Term::System("$USERID", "userId")),
        Just(Term::Body("$body.a", "/a")),
        Just(Term::Body("$BODY.o.Deep", "/o/deep")),
        Just(Term::Body("$body.o.list[0]", "/o/list/0")),
        Just(Term::Body("$body.o.list[1]", "/o/list/1")),
        Just(Term::Body("$body.o", "/o")),
        Just(Term::Body("$body.o.list", "/o/list")),
        Just(Term::Body("$body.none", "/none")),
        Just(Term::Twin("$twin.a", "/a")),
        Just(Term::Twin("$twin.o.deep", "/o/deep")),
        Just(Term::Twin("$twin.o.list[0]", "/o/list/0")),
    ]
}

/// A text, as far as can be known without the message: a constant of the wrong type is refused where it stands.
fn words() -> impl Strategy<Value = Term> {
    prop_oneof![4 => path(), 1 => path().prop_map(|term| Term::Lower(Box::new(term)))]
}

/// A number, likewise.
fn figure() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        3 => path(),
        1 => words().prop_map(|term| Term::Length(Box::new(term))),
        1 => words().prop_map(|term| Term::AsNumber(Box::new(term))),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Term::Plus(Box::new(left), Box::new(right))),
            (inner.clone(), -2..3).prop_map(|(term, by)| Term::Times(Box::new(term), by)),
            inner.prop_map(|term| Term::AsNumber(Box::new(term))),
        ]
    })
}

fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        3 => path(),
        1 => words(),
        2 => figure(),
        3 => scalar().prop_map(Term::Constant),
        1 => Just(Term::Undefined),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = prop_oneof![Just("="), Just("!="), Just("<>"), Just("<"), Just("<="), Just(">"), Just(">=")];
    let is = prop_oneof![
        Just("is_defined"),
        Just("is_null"),
        Just("is_string"),
        Just("is_number"),
        Just("is_bool"),
        Just("is_array"),
        Just("is_object"),
        Just("is_primitive")
    ];
    let leaf = prop_oneof![
        5 => (term(), op, term()).prop_map(|(left, op, right)| Condition::Compare(left, op, right)),
        1 => path().prop_map(Condition::Truth),
        2 => (path(), any::<bool>(), prop::collection::vec(scalar(), 1..4))
            .prop_map(|(term, negated, values)| Condition::Member(term, negated, values)),
        2 => (is, path()).prop_map(|(function, term)| Condition::Is(function, term)),
        1 => (words(), words()).prop_map(|(text, part)| Condition::StartsWith(text, part)),
        1 => (words(), words()).prop_map(|(text, part)| Condition::Contains(text, part)),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Condition::Not(Box::new(one))),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Condition::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Condition::Or(Box::new(left), Box::new(right))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn conditions_mean_what_they_say(condition in condition(), message in message()) {
        let text = condition.text();
        let query = routing::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let expected = condition.meaning(&message) == Some(true);
        prop_assert_eq!(query.matches(&message), expected, "{}", &text);
        // Who is told that neither is needed gives neither.
        let without = Message {
            body: message.body.filter(|_| query.needs_body()),
            twin: message.twin.filter(|_| query.needs_twin()),
            ..message
        };
        prop_assert_eq!(query.matches(&without), expected, "{}", &text);
    }
}
