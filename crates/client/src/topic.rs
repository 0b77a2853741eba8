//! Answers that come as a topic: `{prefix}{status}/?$rid={id}&name=value`.

use crate::properties::Properties;

/// An answer to a request of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `$rid`, `retry-after`, `$version`.
    pub(crate) properties: Properties,
}

/// Reads an answer whose topic starts with `prefix`; none when it is no answer of this kind.
pub(crate) fn answer(prefix: &str, topic: &str) -> Option<Answer> {
    let (status, bag) = topic.strip_prefix(prefix)?.split_once("/?")?;
    Some(Answer { status: status.parse().ok()?, properties: Properties::decode(bag) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let prefix = "$dps/registrations/res/";
        let found = answer(prefix, "$dps/registrations/res/202/?$rid=a-1&retry-after=3").unwrap();
        assert_eq!((found.status, found.properties.get("$rid")), (202, Some("a-1")));
        assert_eq!(found.properties.get("retry-after"), Some("3"));
        for other in ["$dps/registrations/res/ok/?$rid=1", "$dps/registrations/res/202", "x/202/?$rid=1"] {
            assert_eq!(answer(prefix, other), None);
        }
    }
}
