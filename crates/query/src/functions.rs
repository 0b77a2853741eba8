//! The functions of the dialects: their signatures and what they compute. `IS_OF_MODEL` is not among them: it
//! asks the model tree, not a value (see [`crate::twins`]).
//!
//! Sources: Azure "Azure Digital Twins query language reference: Functions"; Azure "IoT Hub query language",
//! Functions.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::{
    eval::{Scope, evaluate},
    expr::{Expr, ExprKind, Literal},
    value::{Number, Value},
};

/// A function, whatever a dialect calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented under its name in the articles above")]
pub enum Function {
    IsDefined,
    IsNull,
    IsNumber,
    IsString,
    IsBool,
    IsObject,
    IsArray,
    IsPrimitive,
    StartsWith,
    EndsWith,
    Contains,
    ArrayContains,
    AsNumber,
    Abs,
    Exp,
    Power,
    Square,
    Ceiling,
    Floor,
    Sign,
    Sqrt,
    Concat,
    Length,
    Lower,
    Upper,
    Substring,
    IndexOf,
}

/// What can be known of a type without a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgType {
    Any,
    Text,
    Number,
    Bool,
}

impl ArgType {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a Boolean",
        }
    }
}

/// How a dialect calls a function. Arguments after the last listed one have its type.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    args: &'static [ArgType],
    required: usize,
    most: usize,
}

impl Signature {
    pub(crate) fn accepts(&self, count: usize) -> bool {
        (self.required..=self.most).contains(&count)
    }

    pub(crate) fn arg(&self, at: usize) -> ArgType {
        self.args.get(at).or(self.args.last()).copied().unwrap_or(ArgType::Any)
    }

    /// "1 argument", "2 to 3 arguments", "2 or more arguments".
    pub(crate) fn arity(&self) -> String {
        match (self.required, self.most) {
            (1, 1) => "1 argument".to_owned(),
            (required, most) if required == most => format!("{required} arguments"),
            (required, usize::MAX) => format!("{required} or more arguments"),
            (required, most) => format!("{required} to {most} arguments"),
        }
    }
}

const fn fixed(name: &'static str, function: Function, args: &'static [ArgType]) -> Signature {
    Signature { name, function, args, required: args.len(), most: args.len() }
}

const ANY: &[ArgType] = &[ArgType::Any];
const TEXT: &[ArgType] = &[ArgType::Text];
const TEXTS: &[ArgType] = &[ArgType::Text, ArgType::Text];
const NUMBER: &[ArgType] = &[ArgType::Number];

/// Digital twins: both `STARTSWITH` (the reference) and `STARTS_WITH` (the reserved words) are found in the articles.
pub(crate) static TWINS: &[Signature] = &[
    fixed("IS_DEFINED", Function::IsDefined, ANY),
    fixed("IS_NULL", Function::IsNull, ANY),
    fixed("IS_NUMBER", Function::IsNumber, ANY),
    fixed("IS_STRING", Function::IsString, ANY),
    fixed("IS_BOOL", Function::IsBool, ANY),
    fixed("IS_OBJECT", Function::IsObject, ANY),
    fixed("IS_PRIMITIVE", Function::IsPrimitive, ANY),
    fixed("STARTSWITH", Function::StartsWith, TEXTS),
    fixed("STARTS_WITH", Function::StartsWith, TEXTS),
    fixed("ENDSWITH", Function::EndsWith, TEXTS),
    fixed("ENDS_WITH", Function::EndsWith, TEXTS),
    fixed("CONTAINS", Function::Contains, TEXTS),
    fixed("ARRAY_CONTAINS", Function::ArrayContains, &[ArgType::Any, ArgType::Any]),
];

/// Device queries and routing conditions.
pub(crate) static HUB: &[Signature] = &[
    fixed("IS_DEFINED", Function::IsDefined, ANY),
    fixed("IS_NULL", Function::IsNull, ANY),
    fixed("IS_NUMBER", Function::IsNumber, ANY),
    fixed("IS_STRING", Function::IsString, ANY),
    fixed("IS_BOOL", Function::IsBool, ANY),
    fixed("IS_OBJECT", Function::IsObject, ANY),
    fixed("IS_ARRAY", Function::IsArray, ANY),
    fixed("IS_PRIMITIVE", Function::IsPrimitive, ANY),
    fixed("STARTS_WITH", Function::StartsWith, TEXTS),
    fixed("STARTSWITH", Function::StartsWith, TEXTS),
    fixed("ENDS_WITH", Function::EndsWith, TEXTS),
    fixed("ENDSWITH", Function::EndsWith, TEXTS),
    fixed("CONTAINS", Function::Contains, TEXTS),
    fixed("ARRAY_CONTAINS", Function::ArrayContains, &[ArgType::Any, ArgType::Any]),
    fixed("AS_NUMBER", Function::AsNumber, ANY),
    fixed("ABS", Function::Abs, NUMBER),
    fixed("EXP", Function::Exp, NUMBER),
    fixed("POWER", Function::Power, &[ArgType::Number, ArgType::Number]),
    fixed("SQUARE", Function::Square, NUMBER),
    fixed("CEILING", Function::Ceiling, NUMBER),
    fixed("FLOOR", Function::Floor, NUMBER),
    fixed("SIGN", Function::Sign, NUMBER),
    fixed("SQRT", Function::Sqrt, NUMBER),
    Signature { name: "CONCAT", function: Function::Concat, args: TEXTS, required: 2, most: usize::MAX },
    fixed("LENGTH", Function::Length, TEXT),
    fixed("LOWER", Function::Lower, TEXT),
    fixed("UPPER", Function::Upper, TEXT),
    Signature {
        name: "SUBSTRING",
        function: Function::Substring,
        args: &[ArgType::Text, ArgType::Number, ArgType::Number],
        required: 2,
        most: 3,
    },
    fixed("INDEX_OF", Function::IndexOf, TEXTS),
];

/// The type an expression has in every document, if there is one.
pub(crate) fn static_type(expr: &Expr) -> Option<ArgType> {
    match &expr.kind {
        ExprKind::Literal(Literal::String(_)) => Some(ArgType::Text),
        ExprKind::Literal(Literal::Number(_)) | ExprKind::Arithmetic { .. } | ExprKind::Negate(_) => {
            Some(ArgType::Number)
        }
        ExprKind::Literal(Literal::Bool(_))
        | ExprKind::Compare { .. }
        | ExprKind::In { .. }
        | ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::IsOfModel { .. } => Some(ArgType::Bool),
        ExprKind::Literal(Literal::Null | Literal::Undefined) | ExprKind::Path(_) => None,
        ExprKind::Call { function, .. } => Some(function.result()),
    }
}

impl Function {
    fn result(self) -> ArgType {
        match self {
            Self::IsDefined
            | Self::IsNull
            | Self::IsNumber
            | Self::IsString
            | Self::IsBool
            | Self::IsObject
            | Self::IsArray
            | Self::IsPrimitive
            | Self::StartsWith
            | Self::EndsWith
            | Self::Contains
            | Self::ArrayContains => ArgType::Bool,
            Self::AsNumber
            | Self::Abs
            | Self::Exp
            | Self::Power
            | Self::Square
            | Self::Ceiling
            | Self::Floor
            | Self::Sign
            | Self::Sqrt
            | Self::Length
            | Self::IndexOf => ArgType::Number,
            Self::Concat | Self::Lower | Self::Upper | Self::Substring => ArgType::Text,
        }
    }

    /// Computes the function. A wrong type gives undefined, never an error; the number of arguments was checked when
    /// the query was parsed.
    pub(crate) fn apply<'s>(self, args: &'s [Expr], scope: &'s dyn Scope) -> Value<'s> {
        let arg = |at: usize| args.get(at).map_or(Value::Undefined, |expr| evaluate(expr, scope));
        match self {
            Self::IsDefined => Value::Bool(arg(0) != Value::Undefined),
            Self::IsNull => Value::Bool(arg(0) == Value::Null),
            Self::IsNumber => Value::Bool(matches!(arg(0), Value::Number(_))),
            Self::IsString => Value::Bool(matches!(arg(0), Value::String(_))),
            Self::IsBool => Value::Bool(matches!(arg(0), Value::Bool(_))),
            Self::IsObject => Value::Bool(matches!(arg(0), Value::Structured(Json::Object(_)))),
            Self::IsArray => Value::Bool(matches!(arg(0), Value::Structured(Json::Array(_)))),
            Self::IsPrimitive => Value::Bool(!matches!(arg(0), Value::Undefined | Value::Structured(_))),
            Self::StartsWith => texts(&arg(0), &arg(1), |text, part| Value::Bool(text.starts_with(part))),
            Self::EndsWith => texts(&arg(0), &arg(1), |text, part| Value::Bool(text.ends_with(part))),
            Self::Contains => texts(&arg(0), &arg(1), |text, part| Value::Bool(text.contains(part))),
            Self::IndexOf => texts(&arg(0), &arg(1), index_of),
            Self::ArrayContains => array_contains(&arg(0), &arg(1)),
            Self::AsNumber => as_number(arg(0)),
            Self::Abs => number(&arg(0), |n| either(n, |i| Some(i.abs()), f64::abs)),
            Self::Square => number(&arg(0), |n| either(n, |i| i.checked_mul(i), |f| f * f)),
            Self::Ceiling => number(&arg(0), |n| either(n, Some, f64::ceil)),
            Self::Floor => number(&arg(0), |n| either(n, Some, f64::floor)),
            Self::Sign => {
                number(&arg(0), |n| n.compare(Number::Int(0)).map(|sign| Number::Int(sign as i128)))
            }
            Self::Exp => number(&arg(0), |n| Number::finite(n.as_f64().exp())),
            Self::Sqrt => number(&arg(0), |n| Number::finite(n.as_f64().sqrt())),
            Self::Power => power(&arg(0), &arg(1)),
            Self::Concat => concat(args, scope),
            Self::Length => text(&arg(0), |text| count(text.chars().count())),
            Self::Lower => text(&arg(0), |text| Value::String(text.to_lowercase().into())),
            Self::Upper => text(&arg(0), |text| Value::String(text.to_uppercase().into())),
            Self::Substring => substring(&arg(0), &arg(1), args.get(2).map(|_| arg(2))),
        }
    }
}

fn text<'s>(value: &Value<'_>, compute: impl FnOnce(&str) -> Value<'s>) -> Value<'s> {
    match value {
        Value::String(text) => compute(text),
        _ => Value::Undefined,
    }
}

fn texts<'s>(
    left: &Value<'_>,
    right: &Value<'_>,
    compute: impl FnOnce(&str, &str) -> Value<'s>,
) -> Value<'s> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => compute(left, right),
        _ => Value::Undefined,
    }
}

fn number<'s>(value: &Value<'_>, compute: impl FnOnce(Number) -> Option<Number>) -> Value<'s> {
    match value {
        Value::Number(number) => compute(*number).into(),
        _ => Value::Undefined,
    }
}

/// Integers stay integers unless they overflow.
fn either(
    number: Number,
    int: impl FnOnce(i128) -> Option<i128>,
    float: impl FnOnce(f64) -> f64,
) -> Option<Number> {
    match number {
        Number::Int(value) => int(value).map(Number::Int).or_else(|| Number::finite(float(number.as_f64()))),
        Number::Float(value) => Number::finite(float(value)),
    }
}

fn count<'s>(value: usize) -> Value<'s> {
    i128::try_from(value).map_or(Value::Undefined, |value| Value::Number(Number::Int(value)))
}

/// Position in characters from 0, or -1.
fn index_of<'s>(text: &str, part: &str) -> Value<'s> {
    match text.find(part) {
        Some(at) => count(text[..at].chars().count()),
        None => Value::Number(Number::Int(-1)),
    }
}

/// Looks at the top level of the array only; arrays and objects inside never match.
fn array_contains<'s>(array: &Value<'_>, wanted: &Value<'_>) -> Value<'s> {
    match array {
        Value::Structured(Json::Array(items)) if *wanted != Value::Undefined => {
            Value::Bool(items.iter().any(|item| Value::from(item).equals(wanted) == Some(true)))
        }
        _ => Value::Undefined,
    }
}

fn as_number(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Number(number) => Value::Number(number),
        Value::String(text) => Number::parse(text.trim()).into(),
        _ => Value::Undefined,
    }
}

fn power<'s>(base: &Value<'_>, exponent: &Value<'_>) -> Value<'s> {
    let (Value::Number(base), Value::Number(exponent)) = (base, exponent) else {
        return Value::Undefined;
    };
    let exact = match (base.as_int(), exponent.as_int().map(u32::try_from)) {
        (Some(base), Some(Ok(exponent))) => base.checked_pow(exponent).map(Number::Int),
        _ => None,
    };
    exact.or_else(|| Number::finite(base.as_f64().powf(exponent.as_f64()))).into()
}

/// Bounded: repeated concatenation of a large property must not fill the memory; a longer result is undefined.
fn concat<'s>(args: &'s [Expr], scope: &'s dyn Scope) -> Value<'s> {
    const LONGEST: usize = 1 << 20;
    let mut joined = String::new();
    for arg in args {
        match evaluate(arg, scope) {
            Value::String(text) if joined.len() + text.len() <= LONGEST => joined.push_str(&text),
            _ => return Value::Undefined,
        }
    }
    Value::String(Cow::Owned(joined))
}

/// From a zero-based character, for `length` characters or to the end.
fn substring<'s>(value: &Value<'_>, start: &Value<'_>, length: Option<Value<'_>>) -> Value<'s> {
    let whole = |value: &Value<'_>| match value {
        Value::Number(number) => number.as_int().and_then(|value| usize::try_from(value).ok()),
        _ => None,
    };
    let length = length.map_or(Some(usize::MAX), |length| whole(&length));
    match (value, whole(start), length) {
        (Value::String(text), Some(start), Some(length)) => {
            Value::String(text.chars().skip(start).take(length).collect::<String>().into())
        }
        _ => Value::Undefined,
    }
}
