//! Functions over groups of rows: what is known of them as the rows come.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::{expr::Path, order::compare, value::Number};

/// A function over the rows of a group. What is undefined, null or structured is passed over, as is what is no number
/// where one is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// `COUNT()`: rows.
    Count,
    /// `MIN(path)`, by the order of `ORDER BY`.
    Min(Path),
    /// `MAX(path)`, by the order of `ORDER BY`.
    Max(Path),
    /// `SUM(path)`: exact while all are integers.
    Sum(Path),
    /// `AVG(path)`.
    Avg(Path),
}

impl Aggregate {
    /// The function of that name, in capitals; none where it must have a path and has none, or the other way round.
    pub(crate) fn named(name: &str, path: Option<Path>) -> Option<Self> {
        Some(match (name, path) {
            ("COUNT", None) => Self::Count,
            ("MIN", Some(path)) => Self::Min(path),
            ("MAX", Some(path)) => Self::Max(path),
            ("SUM", Some(path)) => Self::Sum(path),
            ("AVG", Some(path)) => Self::Avg(path),
            _ => return None,
        })
    }

    /// What the function looks at.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Count => None,
            Self::Min(path) | Self::Max(path) | Self::Sum(path) | Self::Avg(path) => Some(path),
        }
    }
}

/// A function's value so far.
#[derive(Debug, Clone)]
pub(crate) enum Total {
    Count(u64),
    /// The least or, `Greater`, the greatest.
    Best(Ordering, Option<Json>),
    Sum(Sum),
    Average(Sum),
}

impl Total {
    /// Of no rows.
    pub(crate) fn of(aggregate: &Aggregate) -> Self {
        match aggregate {
            Aggregate::Count => Self::Count(0),
            Aggregate::Min(_) => Self::Best(Ordering::Less, None),
            Aggregate::Max(_) => Self::Best(Ordering::Greater, None),
            Aggregate::Sum(_) => Self::Sum(Sum::default()),
            Aggregate::Avg(_) => Self::Average(Sum::default()),
        }
    }

    /// Adds a row, in which the function's path leads to this; by how many bytes it has grown.
    pub(crate) fn add(&mut self, value: Option<&Json>) -> usize {
        let text = |value: &Json| value.as_str().map_or(0, str::len);
        match self {
            Self::Count(rows) => *rows += 1,
            Self::Best(wanted, best) => {
                let value = value.filter(|value| !(value.is_null() || value.is_array() || value.is_object()));
                let better = |value: &&Json| best.as_ref().is_none_or(|best| compare(value, best) == *wanted);
                if let Some(value) = value.filter(better) {
                    let before = best.as_ref().map_or(0, text);
                    *best = Some(value.clone());
                    return text(value).saturating_sub(before);
                }
            }
            Self::Sum(sum) | Self::Average(sum) => {
                if let Some(Json::Number(number)) = value {
                    sum.add(Number::from_json(number));
                }
            }
        }
        0
    }

    /// What it comes to; none where that is undefined, such as the average of nothing.
    pub(crate) fn value(&self) -> Option<Json> {
        match self {
            Self::Count(rows) => Some((*rows).into()),
            Self::Best(_, best) => best.clone(),
            Self::Sum(sum) => sum.total(),
            Self::Average(sum) => sum.average(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    count: u64,
    /// While all are integers and the sum fits.
    exact: Option<i128>,
    near: f64,
}

impl Sum {
    fn add(&mut self, number: Number) {
        let before = if self.count == 0 { Some(0) } else { self.exact };
        self.exact = before.zip(number.as_int()).and_then(|(sum, next)| sum.checked_add(next));
        self.near += number.as_f64();
        self.count += 1;
    }

    fn total(&self) -> Option<Json> {
        let exact = self.exact.and_then(|sum| Number::Int(sum).to_json());
        exact.or_else(|| Number::finite(self.near).filter(|_| self.count > 0)?.to_json())
    }

    fn average(&self) -> Option<Json> {
        #[expect(clippy::cast_precision_loss, reason = "an average is approximate")]
        let mean = self.exact.map_or(self.near, |sum| sum as f64) / self.count as f64;
        Number::finite(mean)?.to_json()
    }
}
