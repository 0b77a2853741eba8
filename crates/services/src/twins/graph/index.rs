//! Twins by the value of a property.
//!
//! Gives at least the twins whose value is asked for, and may give more: numbers are ordered by the nearest floating
//! point number, long texts by their beginning. Whoever asks decides for each.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use pollux_query::{PredicateOp, PropertyPredicate};
use serde_json::Value;

use super::Scalar;

/// Texts are ordered by at most so many bytes of their beginning.
const LONGEST: usize = 64;
/// About what an entry takes beside its text.
const ENTRY: usize = 72;

/// By value and id, the nodes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeSet<(Key, Arc<str>, u32)>,
    texts: usize,
}

/// A value by which twins are found. Those of different types never compare as anything but different.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Bool(bool),
    /// A float's bits, so that they are in its order.
    Number(u64),
    Text(Box<str>),
}

/// What is looked for: one value, or an interval of them.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    ranges: Vec<(Bound<Key>, Bound<Key>)>,
    /// Whether it is a single value: then ids are in order.
    pub(crate) single: bool,
}

impl Wanted {
    /// `None` if a predicate cannot be answered from an index.
    pub(crate) fn of(predicate: &PropertyPredicate) -> Option<Self> {
        let key = |value: &Value| Key::of(&Scalar::of(value));
        let exact = |key: Key| (Bound::Included(key.clone()), Bound::Included(key));
        let one = |range| Some(Self { ranges: vec![range], single: false });
        match predicate.op {
            PredicateOp::Eq => Some(Self { ranges: vec![exact(key(&predicate.value)?)], single: true }),
            PredicateOp::In => {
                let keys: Option<BTreeSet<Key>> = predicate.value.as_array()?.iter().map(key).collect();
                let ranges: Vec<_> = keys?.into_iter().map(exact).collect();
                Some(Self { single: ranges.len() < 2, ranges })
            }
            // Of values that were rounded to be keys, the neighbours may be the same key: bounds are included.
            PredicateOp::Lt | PredicateOp::Le => {
                let key = key(&predicate.value)?;
                one((Bound::Included(key.least()), Bound::Included(key)))
            }
            PredicateOp::Gt | PredicateOp::Ge => {
                let key = key(&predicate.value)?;
                let end = key.beyond();
                one((Bound::Included(key), end))
            }
            PredicateOp::StartsWith => {
                let beginning = key(&predicate.value)?;
                let Key::Text(text) = &beginning else { return None };
                let end =
                    behind_all(text).map_or(Bound::Unbounded, |end| Bound::Excluded(Key::Text(end.into())));
                one((Bound::Included(beginning), end))
            }
            PredicateOp::Defined => None,
        }
    }
}

impl Key {
    /// `None`: no condition that an index answers holds for such a value.
    fn of(value: &Scalar) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "keys are approximate")]
        match value {
            Scalar::Null | Scalar::Structured => None,
            Scalar::Bool(value) => Some(Self::Bool(*value)),
            Scalar::Int(value) => Some(Self::number(*value as f64)),
            Scalar::Unsigned(value) => Some(Self::number(*value as f64)),
            Scalar::Float(value) => Some(Self::number(*value)),
            Scalar::Text(text) => Some(Self::Text(beginning(text).into())),
        }
    }

    fn number(value: f64) -> Self {
        // Minus zero is zero.
        let bits = (value + 0.0).to_bits();
        Self::Number(if bits >> 63 == 0 { bits | (1 << 63) } else { !bits })
    }

    /// The least of its type.
    fn least(&self) -> Self {
        match self {
            Self::Bool(_) => Self::Bool(false),
            Self::Number(_) => Self::Number(0),
            Self::Text(_) => Self::Text("".into()),
        }
    }

    /// Behind the greatest of its type.
    fn beyond(&self) -> Bound<Self> {
        match self {
            Self::Bool(_) => Bound::Included(Self::Bool(true)),
            Self::Number(_) => Bound::Included(Self::Number(u64::MAX)),
            Self::Text(_) => Bound::Unbounded,
        }
    }

    fn text(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }
}

/// The least text that is greater than all with this beginning; `None` if there is none.
fn behind_all(beginning: &str) -> Option<String> {
    let mut text = beginning.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

impl Index {
    pub(super) fn put(&mut self, value: &Scalar, id: &Arc<str>, node: u32) {
        let Some(key) = Key::of(value) else { return };
        self.texts += key.text();
        self.entries.insert((key, Arc::clone(id), node));
    }

    pub(super) fn remove(&mut self, value: &Scalar, id: &Arc<str>, node: u32) {
        let Some(key) = Key::of(value) else { return };
        let text = key.text();
        if self.entries.remove(&(key, Arc::clone(id), node)) {
            self.texts -= text;
        }
    }

    /// About what it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * ENTRY + self.texts
    }

    /// How many there are, counted no further than to `most`.
    pub(crate) fn count(&self, wanted: &Wanted, most: usize) -> usize {
        wanted.ranges.iter().flat_map(|range| self.range(range)).take(most).count()
    }

    /// Those behind an id, in the order of ids, at most `limit` of a single value; of several all.
    pub(crate) fn nodes(&self, wanted: &Wanted, after: Option<&str>, limit: usize) -> Vec<u32> {
        let behind = |id: &str| after.is_none_or(|after| id > after);
        if let ([(Bound::Included(key), _)], true) = (wanted.ranges.as_slice(), wanted.single) {
            let start = (key.clone(), after.unwrap_or_default().into(), 0);
            let here = self.entries.range(start..).take_while(|(found, ..)| found == key);
            return here.filter(|(_, id, _)| behind(id)).map(|(.., node)| *node).take(limit).collect();
        }
        let all = wanted.ranges.iter().flat_map(|range| self.range(range));
        let mut all: Vec<(&str, u32)> =
            all.filter(|(_, id, _)| behind(id)).map(|(_, id, node)| (&**id, *node)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, node)| node).collect()
    }

    fn range<'i>(
        &'i self,
        (start, end): &'i (Bound<Key>, Bound<Key>),
    ) -> impl Iterator<Item = &'i (Key, Arc<str>, u32)> {
        let none: Arc<str> = "".into();
        let start = match start {
            Bound::Included(key) | Bound::Excluded(key) => Bound::Included((key.clone(), none, 0)),
            Bound::Unbounded => Bound::Unbounded,
        };
        self.entries.range((start, Bound::Unbounded)).take_while(move |(key, ..)| match end {
            Bound::Included(last) => key <= last,
            Bound::Excluded(behind) => key < behind,
            Bound::Unbounded => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index(values: &[Value]) -> Index {
        let mut index = Index::default();
        for (node, value) in (0..).zip(values) {
            index.put(&Scalar::of(value), &format!("t{node}").into(), node);
        }
        index
    }

    fn found(values: &[Value], op: PredicateOp, value: Value) -> Vec<u32> {
        let predicate = PropertyPredicate { path: vec!["x".into()], op, value };
        index(values).nodes(&Wanted::of(&predicate).unwrap(), None, 100)
    }

    #[test]
    fn finds_at_least_what_compares_so_and_nothing_of_another_type() {
        let values = [
            json!(-1.5),
            json!(0),
            json!(-0.0),
            json!(7),
            json!(u64::MAX),
            json!("7"),
            json!(true),
            json!(null),
        ];
        assert_eq!(found(&values, PredicateOp::Eq, json!(0)), [1, 2]);
        assert_eq!(found(&values, PredicateOp::Eq, json!(7.0)), [3]);
        assert_eq!(found(&values, PredicateOp::Lt, json!(0)), [0, 1, 2]);
        assert_eq!(found(&values, PredicateOp::Gt, json!(7)), [3, 4]);
        assert_eq!(found(&values, PredicateOp::In, json!([7, "7", true])), [3, 5, 6]);
        assert_eq!(found(&values, PredicateOp::Ge, json!("")), [5]);
        assert_eq!(found(&values, PredicateOp::Le, json!(true)), [6]);
        let unanswered =
            PropertyPredicate { path: vec!["x".into()], op: PredicateOp::Eq, value: json!(null) };
        assert!(Wanted::of(&unanswered).is_none());
    }

    #[test]
    fn finds_texts_by_their_beginning_however_long_they_are() {
        let long = "é".repeat(100);
        let values = [
            json!("ab"),
            json!("a\u{10ffff}\u{10ffff}\u{10ffff}"),
            json!("b"),
            json!(long),
            json!("\u{d7ff}x"),
        ];
        assert_eq!(found(&values, PredicateOp::StartsWith, json!("a")), [0, 1]);
        assert_eq!(found(&values, PredicateOp::StartsWith, json!("é".repeat(70))), [3]);
        assert_eq!(found(&values, PredicateOp::Eq, json!(long)), [3]);
        assert_eq!(found(&values, PredicateOp::StartsWith, json!("\u{d7ff}")), [4]);
        assert_eq!(found(&values, PredicateOp::StartsWith, json!("")).len(), 5);
        assert_eq!(behind_all("\u{10ffff}"), None);
    }

    #[test]
    fn goes_on_behind_an_id_and_forgets_what_is_removed() {
        let mut index = index(&[json!(1), json!(1), json!(2), json!(1)]);
        let predicate = PropertyPredicate { path: vec!["x".into()], op: PredicateOp::Eq, value: json!(1) };
        let one = Wanted::of(&predicate).unwrap();
        assert_eq!((index.nodes(&one, None, 2), index.nodes(&one, Some("t1"), 2)), (vec![0, 1], vec![3]));
        index.remove(&Scalar::of(&json!(1)), &"t1".into(), 1);
        assert_eq!((index.count(&one, 10), index.count(&one, 1), index.bytes()), (2, 1, 3 * ENTRY));
    }
}
