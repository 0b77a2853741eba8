//! The expression tree all dialects share. Names are already resolved: a [`Path`] says which document it
//! starts from, and unknown functions or aliases were refused by the parser.
//!
//! `AND`, `OR` and arithmetic of one precedence are n-ary, so the height of a tree is bounded by
//! [`Limits::max_depth`](crate::Limits) and no chain, however long, can exhaust the stack.

use crate::{
    functions::Function,
    value::{Number, Value},
};

/// A byte range of the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

/// An expression and the text it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// The properties it looks at.
    pub fn paths(&self) -> Vec<&Path> {
        let mut found = Vec::new();
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            match &expr.kind {
                ExprKind::Literal(_) | ExprKind::IsOfModel { .. } => {}
                ExprKind::Path(path) => found.push(path),
                ExprKind::Compare { left, right, .. } => waiting.extend([&**left, &**right]),
                ExprKind::In { value: inner, .. } | ExprKind::Not(inner) | ExprKind::Negate(inner) => {
                    waiting.push(inner);
                }
                ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Call { args: all, .. } => {
                    waiting.extend(all);
                }
                ExprKind::Arithmetic { first, rest } => {
                    waiting.push(first);
                    waiting.extend(rest.iter().map(|(_, expr)| expr));
                }
            }
        }
        found
    }
}

/// The forms an expression can have.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Literal),
    /// A property of a document.
    Path(Path),
    /// `left op right`.
    Compare { op: CompareOp, left: Box<Expr>, right: Box<Expr> },
    /// `value IN [..]`, or `NIN` when negated.
    In { negated: bool, value: Box<Expr>, list: Vec<Literal> },
    /// All of two or more.
    And(Vec<Expr>),
    /// Any of two or more.
    Or(Vec<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// `first op next op next ..`, one precedence, left to right.
    Arithmetic { first: Box<Expr>, rest: Vec<(ArithmeticOp, Expr)> },
    /// `-value`.
    Negate(Box<Expr>),
    /// A function of the dialect, with a checked number of arguments.
    Call { function: Function, args: Vec<Expr> },
    /// `IS_OF_MODEL`: the twin at `root` is of `model`, or (unless `exact`) of one that extends it.
    IsOfModel { root: u16, model: String, exact: bool },
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `undefined` (IoT Hub dialects).
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string with its escapes undone.
    String(String),
}

impl Literal {
    /// The literal as a value to compare with.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Undefined => Value::Undefined,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(*value),
            Self::String(value) => Value::String(value.into()),
        }
    }

    /// The literal as JSON; `None` for `undefined` and for numbers JSON cannot hold.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        match self {
            Self::Undefined => None,
            Self::Null => Some(serde_json::Value::Null),
            Self::Bool(value) => Some((*value).into()),
            Self::Number(value) => value.to_json(),
            Self::String(value) => Some(value.as_str().into()),
        }
    }
}

/// A resolved property path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Which document it starts from: twins: the alias' index; devices: always 0; routing: the part of the message.
    pub root: u16,
    /// The steps from there; empty means the document itself.
    pub segments: Vec<Segment>,
}

impl Path {
    /// The path as names, unless it has an index in it.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.segments.iter().map(Segment::name).collect()
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A member of an object.
    Name(String),
    /// An element of an array, from 0.
    Index(usize),
}

impl Segment {
    /// The member's name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Index(_) => None,
        }
    }
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `!=`, `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl CompareOp {
    /// The operator that means the same with its sides exchanged.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }
}

/// Arithmetic operators (IoT Hub dialects).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}
