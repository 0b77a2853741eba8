//! Four SQL-like dialects on one lexer, one expression tree and one evaluator: digital twins ([`twins`]), device twins
//! ([`devices`]), message routing of hubs ([`routing`]) and event routes of digital twins ([`notifications`]). Pure: text and JSON documents go in, truth and
//! rows come out; nothing here reads a store, a clock or a socket.
//!
//! ```text
//! text -> lexer -> cursor -> parser (expressions) -> twins | devices | routing | notifications -> Query
//!                                                    Query + documents -> eval -> matches, project
//!                                                    Query -> hints -> what a store may filter on beforehand
//! ```

mod clauses;
mod cursor;
mod error;
mod eval;
mod expr;
mod functions;
mod hints;
mod lexer;
mod limits;
mod order;
mod parser;
mod totals;
mod value;

pub mod devices;
pub mod notifications;
pub mod routing;
pub mod twins;

pub use error::QueryError;
pub use expr::{ArithmeticOp, CompareOp, Expr, ExprKind, Literal, Path, Segment, Span};
pub use functions::Function;
pub use hints::{Hints, PredicateOp, PropertyPredicate};
pub use limits::Limits;
pub use totals::Aggregate;
pub use value::{Number, Value};
