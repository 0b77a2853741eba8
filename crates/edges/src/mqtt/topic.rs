//! Topics as both services write them: a path, then a query or a property bag in percent encoding.

use percent_encoding::percent_decode_str;

use super::session::Close;

/// Longest request id that is given back, in bytes as it was sent.
const REQUEST_ID: usize = 1024;

/// The value of a query such as `$rid=1&operationId=5.x`, as it was sent. Names may be percent-encoded (`%24rid`).
pub(super) fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let named = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        key == name || percent_decode_str(key).decode_utf8().is_ok_and(|key| key == name)
    };
    let pair = query.trim_start_matches('?').split('&').find(named)?;
    Some(pair.split_once('=').map_or("", |(_, value)| value))
}

/// The request id (`$rid`) of a query, to be given back as it was sent.
pub(super) fn request_id(query: &str) -> Result<&str, Close> {
    match value(query, "$rid") {
        Some(id) if !id.is_empty() && id.len() <= REQUEST_ID => Ok(id),
        _ => Err(Close::because("a request without a usable $rid")),
    }
}

/// Percent-decodes, strictly: an escape that is none, or bytes that are no UTF-8, are an error.
pub(super) fn decode(text: &str) -> Result<String, Close> {
    let malformed = || Close::because("a property bag that is not percent-encoded UTF-8");
    let mut escapes = text.split('%');
    escapes.next();
    let good = |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if !escapes.all(good) {
        return Err(malformed());
    }
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| malformed())?.into_owned())
}

/// The properties at the end of a topic, in their order. A name without a value has the empty one.
pub(super) fn property_bag(bag: &str) -> Result<Vec<(String, String)>, Close> {
    let pairs = bag.strip_prefix('?').unwrap_or(bag).split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name.is_empty() {
                return Err(Close::because("a property without a name"));
            }
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn bags_of_the_sdks_are_read() {
        let bag = "%24.mid=mid1&%24.ct=application%2Fjson&alert%20te=a%2Fb%20c%26d";
        let read = [pair("$.mid", "mid1"), pair("$.ct", "application/json"), pair("alert te", "a/b c&d")];
        assert_eq!(property_bag(bag).unwrap(), read);
        assert_eq!(property_bag("").unwrap(), []);
        assert_eq!(property_bag("?a&b=&c=1=2&").unwrap(), [pair("a", ""), pair("b", ""), pair("c", "1=2")]);
    }

    #[test]
    fn malformed_bags_are_refused() {
        for bag in ["a=%", "a=%4", "a=%zz", "%=1", "a=%ff", "=1", "a=1&=", "a=%é1"] {
            assert!(property_bag(bag).is_err(), "{bag}");
        }
    }

    #[test]
    fn requests_carry_their_id() {
        assert_eq!(request_id("?$rid=a%20b&x=1").unwrap(), "a%20b");
        assert_eq!(request_id("%24rid=7").unwrap(), "7");
        for query in ["", "?", "?$rid", "?$rid=", "?rid=1"] {
            assert!(request_id(query).is_err(), "{query}");
        }
        assert!(request_id(&format!("$rid={}", "x".repeat(2000))).is_err());
        assert_eq!(value("?$rid=1&operationId=5.x.y", "operationId"), Some("5.x.y"));
        assert_eq!(value("?$rid=1&forceRegistration", "forceRegistration"), Some(""));
    }
}
