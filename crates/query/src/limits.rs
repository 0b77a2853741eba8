//! The bounds a query must keep before it is looked at further.

/// Bounds on one query. Every dialect has its own default; a deployment may raise them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in Unicode characters. Twins: 8,000 (Azure "digital-twins-limits"); the IoT Hub dialects have
    /// no published figure, 8,192 is ours.
    pub max_chars: usize,
    /// Deepest nesting of parentheses, `NOT`, unary minus and function calls. Ours: keeps recursion, and so the
    /// stack, bounded. Chains of `AND`, `OR`, `+` or `*` do not nest.
    pub max_depth: usize,
    /// Most `JOIN` clauses of a twins query (Azure "reference-query-clause-join": five).
    pub max_joins: usize,
}

impl Limits {
    /// The documented limits of Azure Digital Twins queries.
    pub const TWINS: Self = Self { max_chars: 8_000, max_depth: 100, max_joins: 5 };
    /// The limits of device queries and routing conditions.
    pub const HUB: Self = Self { max_chars: 8_192, max_depth: 100, max_joins: 0 };
}
