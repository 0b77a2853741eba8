//! What is wrong with a query, and where; and the search for the name that was probably meant.

/// A query that cannot be parsed or can never make sense.
///
/// `message` says what was found and what was expected, without the position; `Display` puts the position first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct QueryError {
    /// What is wrong and what was expected.
    pub message: String,
    /// Line of the offending token, from 1.
    pub line: u32,
    /// Column of the offending token in Unicode characters, from 1 (Azure's "Position" is this minus one).
    pub column: u32,
    /// Byte offset of the offending token, from 0; the length of the text when the query ends too early.
    pub offset: usize,
}

impl QueryError {
    /// An error at byte `offset` of `text`. Lines end with `\n`.
    pub(crate) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Self {
            message: message.into(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            offset: before.len(),
        }
    }
}

/// The candidate closest to `name`, letter case aside, if it is close enough to be a likely slip.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 64; // nobody mistypes a longer name, and the table below is quadratic
    let wanted: Vec<char> = name.chars().take(LONGEST + 1).map(|c| c.to_ascii_uppercase()).collect();
    if wanted.len() > LONGEST {
        return None;
    }
    let allowed = 1 + wanted.len() / 4;
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `"; did you mean X?"`, or nothing.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |close| format!("; did you mean {close}?"))
}

/// Levenshtein distance, letter case aside.
fn distance(left: &[char], right: &str) -> usize {
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (above, letter) in right.chars().enumerate() {
        let letter = letter.to_ascii_uppercase();
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, wanted) in left.iter().enumerate() {
            let replaced = diagonal + usize::from(*wanted != letter);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[left.len()]
}
