//! What an expression evaluates to, and how two values compare. Undefined is the third truth value: a comparison
//! with something that is not there is neither true nor false.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value as Json;

/// A number, compared exactly: integers are not rounded to floating point first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer. Documents and literals hold those of `i64` and `u64`; sums may be larger.
    Int(i128),
    /// Anything else. Never NaN.
    Float(f64),
}

impl Number {
    /// Reads a decimal number: optional sign, digits, fraction, exponent. Integers beyond 64 bits become floating
    /// point, as they do in a JSON document. `None` if it is no number, or infinite.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse::<i64>() {
            return Some(Self::Int(value.into()));
        }
        if let Ok(value) = text.parse::<u64>() {
            return Some(Self::Int(value.into()));
        }
        // `f64::from_str` also reads "inf" and "nan", which are no numbers here.
        let numeric =
            text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
        text.parse::<f64>().ok().filter(|value| numeric && value.is_finite()).map(Self::Float)
    }

    /// From a document.
    pub fn from_json(number: &serde_json::Number) -> Self {
        match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => Self::Int(value.into()),
            (None, Some(value), _) => Self::Int(value.into()),
            (None, None, value) => Self::Float(value.unwrap_or(0.0)),
        }
    }

    /// Into a document; `None` if JSON cannot hold it.
    pub fn to_json(self) -> Option<Json> {
        match self {
            Self::Int(value) => {
                i64::try_from(value).map(Json::from).or_else(|_| u64::try_from(value).map(Json::from)).ok()
            }
            Self::Float(value) => serde_json::Number::from_f64(value).map(Json::Number),
        }
    }

    /// The nearest floating point number.
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the caller asked for the nearest float")]
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(value),
            Self::Float(_) => None,
        }
    }

    /// A finite floating point result; NaN and infinities are undefined.
    pub(crate) fn finite(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(value))
    }

    /// Exact comparison.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(&right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(&right),
            (Self::Int(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Int(right)) => compare_mixed(right, left).map(Ordering::reverse),
        }
    }
}

/// `int` against `float` without rounding either.
fn compare_mixed(int: i128, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = 1.7e38; // just under 2^127: inside it the cast below is exact
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float <= -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of i128")]
    let whole = float.trunc() as i128;
    Some(int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

/// The result of an expression, borrowing from the document where it can.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Not there.
    Undefined,
    /// There, and null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Cow<'a, str>),
    /// An array or object of the document.
    Structured(&'a Json),
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => Self::Number(Number::from_json(value)),
            Json::String(value) => Self::String(Cow::Borrowed(value)),
            Json::Array(_) | Json::Object(_) => Self::Structured(json),
        }
    }
}

impl<'a> From<Option<&'a Json>> for Value<'a> {
    fn from(json: Option<&'a Json>) -> Self {
        json.map_or(Self::Undefined, Self::from)
    }
}

impl From<Option<Number>> for Value<'_> {
    fn from(number: Option<Number>) -> Self {
        number.map_or(Self::Undefined, Self::Number)
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(truth: Option<bool>) -> Self {
        truth.map_or(Self::Undefined, Self::Bool)
    }
}

impl Value<'_> {
    /// As a condition: anything but a Boolean is undefined.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Equality. Undefined if either side is, or if either is an array or object (IoT Hub "query language",
    /// limitations: comparisons are supported only between primitive types). Values of different types differ.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Undefined | Self::Structured(_), _) | (_, Self::Undefined | Self::Structured(_)) => None,
            (Self::Number(left), Self::Number(right)) => Some(left.compare(*right) == Some(Ordering::Equal)),
            (Self::String(left), Self::String(right)) => Some(left == right),
            (Self::Bool(left), Self::Bool(right)) => Some(left == right),
            (Self::Null, Self::Null) => Some(true),
            _ => Some(false),
        }
    }

    /// Order. Undefined between different types. Strings compare by code point.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.compare(*right),
            (Self::String(left), Self::String(right)) => Some(left.cmp(right)),
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_exactly() {
        let int = |value: i128| Number::Int(value);
        let float = Number::Float;
        for (left, right, expected) in [
            (int(1), float(1.0), Ordering::Equal),
            (int(0), float(-0.0), Ordering::Equal),
            (int(0), float(-0.5), Ordering::Greater),
            (int(-1), float(-0.5), Ordering::Less),
            (int(1), float(1.5), Ordering::Less),
            (int(9_007_199_254_740_993), float(9_007_199_254_740_992.0), Ordering::Greater),
            (int(i128::from(u64::MAX)), float(18_446_744_073_709_551_616.0), Ordering::Less),
            (int(5), float(1e300), Ordering::Less),
            (int(5), float(-1e300), Ordering::Greater),
        ] {
            assert_eq!(left.compare(right), Some(expected), "{left:?} {right:?}");
            assert_eq!(right.compare(left), Some(expected.reverse()), "{right:?} {left:?}");
        }
    }

    #[test]
    fn words_are_not_numbers() {
        for text in ["inf", "NaN", "infinity", "", "-", "1e", "0x10", "1 2", "1e999"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(Number::parse("-12"), Some(Number::Int(-12)));
        assert_eq!(Number::parse("18446744073709551615"), Some(Number::Int(u64::MAX.into())));
        assert_eq!(Number::parse("1e2"), Some(Number::Float(100.0)));
    }
}
