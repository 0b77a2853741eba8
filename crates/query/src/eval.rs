//! The evaluator: an expression and a [`Scope`] that knows what paths stand for give a [`Value`].
//!
//! Logic is three-valued, as in the JSON SQL dialects these languages descend from: false AND anything is false,
//! true OR anything is true, otherwise undefined stays undefined, also under NOT. A condition holds only if true.

use std::cmp::Ordering;

use crate::{
    expr::{ArithmeticOp, CompareOp, Expr, ExprKind, Literal, Path, Segment},
    value::{Number, Value},
};

/// What the paths of an expression stand for.
pub(crate) trait Scope {
    /// The value at a path; undefined if there is none.
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s>;

    /// Whether the twin at `root` is of a model.
    fn is_of_model(&self, _root: u16, _model: &str, _exact: bool) -> Option<bool> {
        None
    }

    /// Whether a string that reads as a number compares as one with numbers (routing).
    fn numeric_strings(&self) -> bool {
        false
    }
}

/// Whether the condition holds: true, not false and not undefined.
pub(crate) fn holds(expr: &Expr, scope: &dyn Scope) -> bool {
    truth(expr, scope) == Some(true)
}

/// An expression as a condition; `None` is undefined.
pub(crate) fn truth(expr: &Expr, scope: &dyn Scope) -> Option<bool> {
    match &expr.kind {
        ExprKind::And(terms) => all(terms, scope),
        ExprKind::Or(terms) => any(terms, scope),
        ExprKind::Not(inner) => truth(inner, scope).map(|value| !value),
        ExprKind::Compare { op, left, right } => {
            compare(*op, &evaluate(left, scope), &evaluate(right, scope), scope.numeric_strings())
        }
        ExprKind::In { negated, value, list } => {
            is_in(&evaluate(value, scope), list, scope.numeric_strings()).map(|found| found != *negated)
        }
        ExprKind::IsOfModel { root, model, exact } => scope.is_of_model(*root, model, *exact),
        ExprKind::Literal(_)
        | ExprKind::Path(_)
        | ExprKind::Call { .. }
        | ExprKind::Arithmetic { .. }
        | ExprKind::Negate(_) => evaluate(expr, scope).truth(),
    }
}

/// The value of an expression.
pub(crate) fn evaluate<'s>(expr: &'s Expr, scope: &'s dyn Scope) -> Value<'s> {
    match &expr.kind {
        ExprKind::Literal(literal) => literal.value(),
        ExprKind::Path(path) => scope.lookup(path),
        ExprKind::Call { function, args } => function.apply(args, scope),
        ExprKind::Arithmetic { first, rest } => arithmetic(first, rest, scope),
        ExprKind::Negate(inner) => match evaluate(inner, scope) {
            Value::Number(number) => calculate(Number::Int(0), ArithmeticOp::Subtract, number).into(),
            _ => Value::Undefined,
        },
        ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::Compare { .. }
        | ExprKind::In { .. }
        | ExprKind::IsOfModel { .. } => truth(expr, scope).into(),
    }
}

/// Follows a path through a document. `fold_case` lets a name that is not there match one that differs in ASCII case.
pub(crate) fn walk<'j>(
    document: &'j serde_json::Value,
    segments: &[Segment],
    fold_case: bool,
) -> Option<&'j serde_json::Value> {
    segments.iter().try_fold(document, |at, segment| match segment {
        Segment::Index(index) => at.as_array()?.get(*index),
        Segment::Name(name) => {
            let members = at.as_object()?;
            members.get(name).or_else(|| {
                let same = |key: &String| fold_case && key.eq_ignore_ascii_case(name);
                members.iter().find(|(key, _)| same(key)).map(|(_, value)| value)
            })
        }
    })
}

fn all(terms: &[Expr], scope: &dyn Scope) -> Option<bool> {
    let mut result = Some(true);
    for term in terms {
        match truth(term, scope) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}

fn any(terms: &[Expr], scope: &dyn Scope) -> Option<bool> {
    let mut result = Some(false);
    for term in terms {
        match truth(term, scope) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

fn is_in(value: &Value<'_>, list: &[Literal], numeric_strings: bool) -> Option<bool> {
    if matches!(value, Value::Undefined | Value::Structured(_)) {
        return None;
    }
    let same = |item: &Literal| compare(CompareOp::Eq, value, &item.value(), numeric_strings) == Some(true);
    Some(list.iter().any(same))
}

fn compare(op: CompareOp, left: &Value<'_>, right: &Value<'_>, numeric_strings: bool) -> Option<bool> {
    if numeric_strings {
        let read = |value: &Value<'_>| match value {
            Value::String(text) => Number::parse(text.trim()),
            _ => None,
        };
        let pair = match (left, right) {
            (Value::Number(left), Value::String(_)) => read(right).map(|right| (*left, right)),
            (Value::String(_), Value::Number(right)) => read(left).map(|left| (left, *right)),
            _ => None,
        };
        if let Some((left, right)) = pair {
            return compare(op, &Value::Number(left), &Value::Number(right), false);
        }
    }
    match op {
        CompareOp::Eq => left.equals(right),
        CompareOp::Ne => left.equals(right).map(|equal| !equal),
        CompareOp::Lt => left.order(right).map(Ordering::is_lt),
        CompareOp::Le => left.order(right).map(Ordering::is_le),
        CompareOp::Gt => left.order(right).map(Ordering::is_gt),
        CompareOp::Ge => left.order(right).map(Ordering::is_ge),
    }
}

fn arithmetic<'s>(first: &'s Expr, rest: &'s [(ArithmeticOp, Expr)], scope: &'s dyn Scope) -> Value<'s> {
    let as_number = |value: Value<'s>| match value {
        Value::Number(number) => Some(number),
        _ => None,
    };
    let start = as_number(evaluate(first, scope));
    rest.iter()
        .fold(start, |left, (op, right)| calculate(left?, *op, as_number(evaluate(right, scope))?))
        .into()
}

/// Exact on integers while they fit; division by zero and results that are no finite number are undefined.
fn calculate(left: Number, op: ArithmeticOp, right: Number) -> Option<Number> {
    if let (Number::Int(left), Number::Int(right)) = (left, right) {
        let exact = match op {
            ArithmeticOp::Add => left.checked_add(right),
            ArithmeticOp::Subtract => left.checked_sub(right),
            ArithmeticOp::Multiply => left.checked_mul(right),
            ArithmeticOp::Divide if left.checked_rem(right) == Some(0) => left.checked_div(right),
            ArithmeticOp::Divide => None,
            ArithmeticOp::Remainder => left.checked_rem(right),
        };
        if let Some(exact) = exact {
            return Some(Number::Int(exact));
        }
    }
    let (left, right) = (left.as_f64(), right.as_f64());
    Number::finite(match op {
        ArithmeticOp::Add => left + right,
        ArithmeticOp::Subtract => left - right,
        ArithmeticOp::Multiply => left * right,
        ArithmeticOp::Divide => left / right,
        ArithmeticOp::Remainder => left % right,
    })
}
