//! The expression parser all dialects share: operator precedence by binding powers. What a name means, and which
//! functions exist, is the [`Dialect`]'s to say.

use crate::{
    cursor::{Cursor, RawPath, is_keyword},
    error::{QueryError, did_you_mean},
    expr::{ArithmeticOp, CompareOp, Expr, ExprKind, Literal, Path, Span},
    functions::{ArgType, Signature, static_type},
    lexer::{Symbol, TokenKind},
    value::Number,
};

/// What differs between the dialects at the level of expressions.
pub(crate) trait Dialect {
    /// The functions there are.
    fn signatures(&self) -> &'static [Signature];

    /// What a path means; an error if it means nothing.
    fn resolve(&self, path: RawPath, cursor: &Cursor<'_>) -> Result<Path, QueryError>;

    /// A call whose arguments are no expressions. The cursor stands after the `(`; an implementation that knows the
    /// name MUST take everything through the `)`.
    fn special_call(&self, _name: &str, _cursor: &mut Cursor<'_>) -> Result<Option<ExprKind>, QueryError> {
        Ok(None)
    }

    /// Names of special calls, for suggestions.
    fn special_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether there are arithmetic operators, array indexes and the constant `undefined` (IoT Hub), or conditions
    /// are checked for being conditions (digital twins).
    fn style(&self) -> Style;
}

/// The two families of dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// No arithmetic, no indexes; a constant that is no Boolean is refused as a condition.
    Twins,
    /// Arithmetic, indexes, `undefined`; "any constant different than Boolean true is considered as false".
    Hub,
}

/// Parses the condition of a `WHERE` clause or a route.
pub(crate) fn condition(cursor: &mut Cursor<'_>, dialect: &dyn Dialect) -> Result<Expr, QueryError> {
    let mut parser = Parser { cursor, dialect, depth: 0 };
    let expr = parser.expr(Power::LOWEST)?;
    parser.check_condition(&expr)?;
    Ok(expr)
}

/// How tightly an operator binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
struct Power(u8);

impl Power {
    const LOWEST: Self = Self(0);
    const OR: Self = Self(1);
    const AND: Self = Self(2);
    const NOT: Self = Self(3);
    const COMPARE: Self = Self(4);
    const SUM: Self = Self(5);
    const PRODUCT: Self = Self(6);
    const UNARY: Self = Self(7);
}

#[derive(Debug, Clone, Copy)]
enum Infix {
    /// Takes an expression on its right.
    Binary(Binary),
    /// Takes a list of constants; written with this many words.
    In { negated: bool, words: usize },
}

#[derive(Debug, Clone, Copy)]
enum Binary {
    Or,
    And,
    Compare(CompareOp),
    Arithmetic(ArithmeticOp),
}

impl Infix {
    fn power(self) -> Power {
        match self {
            Self::Binary(binary) => binary.power(),
            Self::In { .. } => Power::COMPARE,
        }
    }
}

impl Binary {
    fn power(self) -> Power {
        match self {
            Self::Or => Power::OR,
            Self::And => Power::AND,
            Self::Compare(_) => Power::COMPARE,
            Self::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Subtract) => Power::SUM,
            Self::Arithmetic(_) => Power::PRODUCT,
        }
    }
}

struct Parser<'p, 't> {
    cursor: &'p mut Cursor<'t>,
    dialect: &'p dyn Dialect,
    depth: usize,
}

impl Parser<'_, '_> {
    /// An expression made of operators that bind tighter than `floor`.
    fn expr(&mut self, floor: Power) -> Result<Expr, QueryError> {
        let mut left = self.prefix()?;
        let mut compared = false;
        while let Some(infix) = self.infix() {
            let power = infix.power();
            if power <= floor {
                break;
            }
            if power == Power::COMPARE && compared {
                return Err(self
                    .cursor
                    .expected("AND, OR or the end of the condition (comparisons do not chain)"));
            }
            compared = power == Power::COMPARE;
            left = self.operator(left, infix)?;
        }
        Ok(left)
    }

    /// The operator that comes next, if one does.
    fn infix(&self) -> Option<Infix> {
        let token = self.cursor.peek();
        match &token.kind {
            TokenKind::Symbol(symbol) => self.infix_symbol(*symbol),
            TokenKind::Name { .. } if is_keyword(token, "AND") => Some(Infix::Binary(Binary::And)),
            TokenKind::Name { .. } if is_keyword(token, "OR") => Some(Infix::Binary(Binary::Or)),
            TokenKind::Name { .. } if is_keyword(token, "IN") => Some(Infix::In { negated: false, words: 1 }),
            TokenKind::Name { .. } if is_keyword(token, "NIN") => Some(Infix::In { negated: true, words: 1 }),
            TokenKind::Name { .. } if is_keyword(token, "NOT") && is_keyword(self.cursor.ahead(1), "IN") => {
                Some(Infix::In { negated: true, words: 2 })
            }
            _ => None,
        }
    }

    fn infix_symbol(&self, symbol: Symbol) -> Option<Infix> {
        let compare = |op| Some(Infix::Binary(Binary::Compare(op)));
        let arithmetic =
            |op| (self.dialect.style() == Style::Hub).then_some(Infix::Binary(Binary::Arithmetic(op)));
        match symbol {
            Symbol::Equal => compare(CompareOp::Eq),
            Symbol::NotEqual => compare(CompareOp::Ne),
            Symbol::Less => compare(CompareOp::Lt),
            Symbol::LessEqual => compare(CompareOp::Le),
            Symbol::Greater => compare(CompareOp::Gt),
            Symbol::GreaterEqual => compare(CompareOp::Ge),
            Symbol::Plus => arithmetic(ArithmeticOp::Add),
            Symbol::Minus => arithmetic(ArithmeticOp::Subtract),
            Symbol::Star => arithmetic(ArithmeticOp::Multiply),
            Symbol::Slash => arithmetic(ArithmeticOp::Divide),
            Symbol::Percent => arithmetic(ArithmeticOp::Remainder),
            _ => None,
        }
    }

    /// Takes the operator and its right side.
    fn operator(&mut self, left: Expr, infix: Infix) -> Result<Expr, QueryError> {
        let binary = match infix {
            Infix::Binary(binary) => binary,
            Infix::In { negated, words } => return self.membership(left, negated, words),
        };
        self.cursor.advance();
        let right = self.expr(binary.power())?;
        if matches!(binary, Binary::And | Binary::Or) {
            self.check_condition(&left)?;
            self.check_condition(&right)?;
        }
        Ok(combine(left, binary, right))
    }

    fn membership(&mut self, value: Expr, negated: bool, words: usize) -> Result<Expr, QueryError> {
        for _ in 0..words {
            self.cursor.advance();
        }
        let list = self.list()?;
        let span = Span::new(value.span.start, self.cursor.last_end());
        Ok(Expr { kind: ExprKind::In { negated, value: Box::new(value), list }, span })
    }

    /// `[constant, ..]`; an empty list is allowed and contains nothing.
    fn list(&mut self) -> Result<Vec<Literal>, QueryError> {
        self.cursor.expect_symbol(Symbol::LeftBracket)?;
        let mut list = Vec::new();
        if self.cursor.eat_symbol(Symbol::RightBracket) {
            return Ok(list);
        }
        loop {
            list.push(self.constant()?);
            if self.cursor.eat_symbol(Symbol::RightBracket) {
                return Ok(list);
            }
            if !self.cursor.eat_symbol(Symbol::Comma) {
                return Err(self.cursor.expected("',' or ']'"));
            }
        }
    }

    fn constant(&mut self) -> Result<Literal, QueryError> {
        let negative =
            self.cursor.at_symbol(Symbol::Minus) && matches!(self.cursor.ahead(1).kind, TokenKind::Number(_));
        if negative {
            self.cursor.advance();
        }
        match self.literal() {
            Some(Literal::Number(number)) if negative => Ok(Literal::Number(negated(number))),
            Some(literal) => Ok(literal),
            None => Err(self.cursor.expected("a string, a number, true, false or null")),
        }
    }

    /// Takes a constant if one comes next.
    fn literal(&mut self) -> Option<Literal> {
        let token = self.cursor.peek();
        let literal = match &token.kind {
            TokenKind::Text(text) => Literal::String(text.clone()),
            TokenKind::Number(number) => Literal::Number(*number),
            TokenKind::Name { .. } if is_keyword(token, "TRUE") => Literal::Bool(true),
            TokenKind::Name { .. } if is_keyword(token, "FALSE") => Literal::Bool(false),
            TokenKind::Name { .. } if is_keyword(token, "NULL") => Literal::Null,
            TokenKind::Name { .. }
                if self.dialect.style() == Style::Hub && is_keyword(token, "UNDEFINED") =>
            {
                Literal::Undefined
            }
            _ => return None,
        };
        self.cursor.advance();
        Some(literal)
    }

    /// What an expression can start with.
    fn prefix(&mut self) -> Result<Expr, QueryError> {
        let start = self.cursor.peek().span;
        if let Some(literal) = self.literal() {
            return Ok(Expr { kind: ExprKind::Literal(literal), span: start });
        }
        if self.cursor.eat_symbol(Symbol::LeftParen) {
            let inner = self.nested(start, Power::LOWEST)?;
            self.cursor.expect_symbol(Symbol::RightParen)?;
            return Ok(Expr { kind: inner.kind, span: Span::new(start.start, self.cursor.last_end()) });
        }
        if self.cursor.eat_symbol(Symbol::Minus) {
            let inner = self.nested(start, Power::UNARY)?;
            let span = start.to(inner.span);
            let kind = match inner.kind {
                ExprKind::Literal(Literal::Number(number)) => {
                    ExprKind::Literal(Literal::Number(negated(number)))
                }
                _ if self.dialect.style() == Style::Hub => ExprKind::Negate(Box::new(inner)),
                _ => return Err(self.cursor.error_at(start, "expected a number after '-'")),
            };
            return Ok(Expr { kind, span });
        }
        if self.cursor.eat_keyword("NOT") {
            let inner = self.nested(start, Power::NOT)?;
            self.check_condition(&inner)?;
            let span = start.to(inner.span);
            return Ok(Expr { kind: ExprKind::Not(Box::new(inner)), span });
        }
        let called = self.cursor.ahead(1).kind == TokenKind::Symbol(Symbol::LeftParen);
        if called && self.cursor.at_name() { self.call() } else { self.path() }
    }

    fn path(&mut self) -> Result<Expr, QueryError> {
        if !self.cursor.at_name() {
            return Err(self.cursor.expected_name("a property, a constant, a function or '('"));
        }
        let raw = self.cursor.raw_path("a property", self.dialect.style() == Style::Hub)?;
        let span = raw.span;
        Ok(Expr { kind: ExprKind::Path(self.dialect.resolve(raw, self.cursor)?), span })
    }

    fn call(&mut self) -> Result<Expr, QueryError> {
        let (name, start) = self.cursor.name("a function")?;
        self.cursor.expect_symbol(Symbol::LeftParen)?;
        let kind = match self.dialect.special_call(&name, self.cursor)? {
            Some(kind) => kind,
            None => self.known_call(&name, start)?,
        };
        Ok(Expr { kind, span: Span::new(start.start, self.cursor.last_end()) })
    }

    fn known_call(&mut self, name: &str, start: Span) -> Result<ExprKind, QueryError> {
        let signatures = self.dialect.signatures();
        let Some(signature) = signatures.iter().find(|known| known.name.eq_ignore_ascii_case(name)) else {
            let names =
                signatures.iter().map(|known| known.name).chain(self.dialect.special_names().iter().copied());
            let message = format!("there is no function {name}{}", did_you_mean(name, names));
            return Err(self.cursor.error_at(start, message));
        };
        let mut args = Vec::new();
        while !self.cursor.eat_symbol(Symbol::RightParen) {
            if !args.is_empty() && !self.cursor.eat_symbol(Symbol::Comma) {
                return Err(self.cursor.expected("',' or ')'"));
            }
            args.push(self.nested(start, Power::LOWEST)?);
        }
        self.check_args(signature, &args, start)?;
        Ok(ExprKind::Call { function: signature.function, args })
    }

    fn check_args(&self, signature: &Signature, args: &[Expr], start: Span) -> Result<(), QueryError> {
        if !signature.accepts(args.len()) {
            let message = format!("{} takes {}, not {}", signature.name, signature.arity(), args.len());
            return Err(self.cursor.error_at(start, message));
        }
        for (at, arg) in args.iter().enumerate() {
            let wanted = signature.arg(at);
            let fits = wanted == ArgType::Any || static_type(arg).is_none_or(|actual| actual == wanted);
            if !fits {
                let message = format!("{} expects {} here", signature.name, wanted.text());
                return Err(self.cursor.error_at(arg.span, message));
            }
        }
        Ok(())
    }

    /// One level deeper, within the limit.
    fn nested(&mut self, opened: Span, floor: Power) -> Result<Expr, QueryError> {
        if self.depth == self.cursor.limits.max_depth {
            let message = format!("nested deeper than the allowed {} levels", self.cursor.limits.max_depth);
            return Err(self.cursor.error_at(opened, message));
        }
        self.depth += 1;
        let expr = self.expr(floor);
        self.depth -= 1;
        expr
    }

    /// In the twins dialect a constant that can never be true or false is no condition.
    fn check_condition(&self, expr: &Expr) -> Result<(), QueryError> {
        let wrong = match static_type(expr) {
            Some(ArgType::Text | ArgType::Number) => self.dialect.style() == Style::Twins,
            _ => false,
        };
        if wrong {
            let message = "expected a condition that is true or false, found a constant or a value";
            return Err(self.cursor.error_at(expr.span, message));
        }
        Ok(())
    }
}

/// Joins two sides; chains of one operator family become one n-ary node.
fn combine(left: Expr, binary: Binary, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    let kind = match (binary, left.kind) {
        (Binary::Or, ExprKind::Or(mut terms)) => {
            terms.push(right);
            ExprKind::Or(terms)
        }
        (Binary::And, ExprKind::And(mut terms)) => {
            terms.push(right);
            ExprKind::And(terms)
        }
        (Binary::Arithmetic(op), ExprKind::Arithmetic { first, mut rest }) if continues(&rest, op) => {
            rest.push((op, right));
            ExprKind::Arithmetic { first, rest }
        }
        (binary, kind) => pair(binary, Expr { kind, span: left.span }, right),
    };
    Expr { kind, span }
}

fn pair(binary: Binary, left: Expr, right: Expr) -> ExprKind {
    match binary {
        Binary::Or => ExprKind::Or(vec![left, right]),
        Binary::And => ExprKind::And(vec![left, right]),
        Binary::Compare(op) => ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) },
        Binary::Arithmetic(op) => ExprKind::Arithmetic { first: Box::new(left), rest: vec![(op, right)] },
    }
}

/// Whether `op` has the precedence of the chain.
fn continues(chain: &[(ArithmeticOp, Expr)], op: ArithmeticOp) -> bool {
    chain
        .first()
        .is_some_and(|(first, _)| Binary::Arithmetic(*first).power() == Binary::Arithmetic(op).power())
}

fn negated(number: Number) -> Number {
    match number {
        Number::Int(value) => Number::Int(-value),
        Number::Float(value) => Number::Float(-value),
    }
}
