//! The IoT Hub message routing query language: a condition over a message's application properties (bare names),
//! system properties (`$name`), JSON body (`$body.path`) and its device's twin (`$twin.path`).
//!
//! ```text
//! opType = 'deleteDeviceIdentity'
//! $body.Weather.Temperature > 50 AND $twin.tags.plant = 'Redmond43' AND NOT is_defined(test)
//! ```
//!
//! Names are found without regard to ASCII case. All properties are strings; a string that reads as a number
//! compares as a number with numbers (the article's `$twin.tags.deploymentLocation.floor = 1` where floor is "1").
//! What is not there is undefined, and a condition that is undefined does not hold.
//!
//! Source: Azure "IoT Hub message routing query syntax" and "IoT Hub query language", Expressions and conditions.

mod message;
mod names;

pub use self::message::RoutedMessage;
use self::{message::MessageScope, names::Names};
use crate::{
    Limits, QueryError,
    cursor::Cursor,
    eval,
    expr::{Expr, ExprKind, Literal, Span},
    lexer::{Lexicon, TokenKind},
    parser,
};

/// A checked condition of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    condition: Expr,
    needs_body: bool,
    needs_twin: bool,
}

/// Parses and checks a condition within [`Limits::HUB`]. An empty text is `true`, the default of a route.
///
/// # Errors
/// Where the text stops being a condition, or what in it can never make sense.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    parse_with(text, &Limits::HUB)
}

/// Parses and checks a condition within other limits.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(text: &str, limits: &Limits) -> Result<Query, QueryError> {
    let mut cursor =
        Cursor::new(text, Lexicon { noun: "condition", dashed_names: true, patterns: false }, limits)?;
    let names = Names::default();
    let condition = if cursor.peek().kind == TokenKind::End {
        Expr { kind: ExprKind::Literal(Literal::Bool(true)), span: Span::new(0, 0) }
    } else {
        parser::condition(&mut cursor, &names)?
    };
    cursor.expect_end("an operator or the end of the condition")?;
    Ok(Query { condition, needs_body: names.body.get(), needs_twin: names.twin.get() })
}

impl Query {
    /// The condition.
    pub fn condition(&self) -> &Expr {
        &self.condition
    }

    /// Whether [`RoutedMessage::body`] will be asked for: if not, the caller need not parse it.
    pub fn needs_body(&self) -> bool {
        self.needs_body
    }

    /// Whether [`RoutedMessage::twin`] will be asked for: if not, the caller need not load it.
    pub fn needs_twin(&self) -> bool {
        self.needs_twin
    }

    /// Whether the message takes the route.
    pub fn matches(&self, message: &dyn RoutedMessage) -> bool {
        eval::holds(&self.condition, &MessageScope(message))
    }
}
