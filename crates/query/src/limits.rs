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
    /// Most `JOIN` clauses of a twins query, or relationships in a `MATCH` pattern (Azure
    /// "reference-query-clause-join": five).
    pub max_joins: usize,
    /// Most hops of one relationship in a `MATCH` pattern (Azure "reference-query-clause-match": ten).
    pub max_hops: u32,
}

impl Limits {
    /// What twins queries may be here: as long as in Azure, but with as many `JOIN`s and hops as fit into the text and
    /// into what an executor is ready to do.
    pub const TWINS: Self = Self { max_chars: 8_000, max_depth: 100, max_joins: 1_000, max_hops: 1_000 };
    /// The documented limits of Azure Digital Twins queries.
    pub const AZURE_TWINS: Self = Self { max_joins: 5, max_hops: 10, ..Self::TWINS };
    /// The limits of device queries and routing conditions.
    pub const HUB: Self = Self { max_chars: 8_192, max_depth: 100, max_joins: 0, max_hops: 0 };
}
