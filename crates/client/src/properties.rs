//! The property bag at the end of a topic: `%24.ct=application%2Fjson&%24.ce=utf-8&key=value`.
//!
//! Names and values are percent-encoded, the `$` of system properties too, as the SDKs for Python and Node do.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Properties of a message, in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// No properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Content type `application/json`, content encoding `utf-8`: what routing on the body needs.
    #[must_use]
    pub fn json() -> Self {
        Self::new().system("ct", "application/json").system("ce", "utf-8")
    }

    /// Adds an application property.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Adds a system property by its short name: `mid` message id, `cid` correlation id, `ct` content type,
    /// `ce` content encoding, `exp` expiry, `uid` user id, `to`.
    #[must_use]
    pub fn system(self, short: &str, value: impl Into<String>) -> Self {
        self.with(format!("$.{short}"), value)
    }

    /// Adds a message id, by which the hub side can recognise a message that came twice.
    #[must_use]
    pub fn message_id(self, id: impl Into<String>) -> Self {
        self.system("mid", id)
    }

    /// The first value of `name` (`$.mid` for the message id).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As the end of a topic; empty for none.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bag = String::new();
        for (name, value) in &self.0 {
            if !bag.is_empty() {
                bag.push('&');
            }
            bag.extend(utf8_percent_encode(name, COMPONENT));
            bag.push('=');
            bag.extend(utf8_percent_encode(value, COMPONENT));
        }
        bag
    }

    /// Reads the end of a topic, with or without the `?` that the hub puts before it. A name without a value has the
    /// empty one.
    #[must_use]
    pub fn decode(bag: &str) -> Self {
        let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let pairs = bag.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (text(n), text(v)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_is_written_as_the_sdks_write_it() {
        let bag = Properties::json().with("alert te", "a/b c&d").message_id("m=1");
        let text = "%24.ct=application%2Fjson&%24.ce=utf-8&alert%20te=a%2Fb%20c%26d&%24.mid=m%3D1";
        assert_eq!(bag.encode(), text);
        assert_eq!(Properties::decode(text), bag);
        assert_eq!(Properties::new().encode(), "");
    }

    #[test]
    fn a_bag_from_the_hub_is_read() {
        let bag = Properties::decode("?$rid=1&prop1&prop2=&prop3=a%20string");
        assert_eq!(bag.get("$rid"), Some("1"));
        assert_eq!(
            (bag.get("prop1"), bag.get("prop2"), bag.get("prop3")),
            (Some(""), Some(""), Some("a string"))
        );
        assert_eq!(bag.get("prop4"), None);
        assert_eq!(Properties::decode("").iter().count(), 0);
    }
}
