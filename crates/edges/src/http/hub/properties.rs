//! Properties of messages as HTTPS carries them: system properties in headers of their own, application properties behind
//! `iothub-app-` (WIRE.md; `http.js` of npm's azure-iot-device-http and azure-iot-http-base). Names of headers compare
//! without case, and come in lower case.

use http::{HeaderMap, HeaderName, HeaderValue};
use pollux_model::message::MessageProperties;
use pollux_model::{Error, Result, Timestamp};

const APPLICATION: &str = "iothub-app-";

/// Application properties, in the order they came.
pub(super) fn application(headers: &HeaderMap) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in headers {
        if let Some(own) = name.as_str().strip_prefix(APPLICATION).filter(|own| !own.is_empty()) {
            found.push((own.to_owned(), text(value)?));
        }
    }
    Ok(found)
}

/// The text in a header, if there is one.
pub(super) fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>> {
    headers.get(name).filter(|value| !value.is_empty()).map(text).transpose()
}

/// System properties that a sender may set.
pub(super) fn system(headers: &HeaderMap) -> Result<MessageProperties> {
    let expiry = one(headers, "iothub-expiry")?;
    let expiry = expiry.map(|text| moment(&text).ok_or_else(|| Error::invalid("iothub-expiry is no moment")));
    Ok(MessageProperties {
        message_id: one(headers, "iothub-messageid")?,
        correlation_id: one(headers, "iothub-correlationid")?,
        user_id: one(headers, "iothub-userid")?,
        content_type: one(headers, "iothub-contenttype")?,
        content_encoding: one(headers, "iothub-contentencoding")?,
        expiry: expiry.transpose()?,
    })
}

/// RFC 3339, or milliseconds since 1970.
fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| text.parse().ok().map(Timestamp::from_millis))
}

fn text(value: &HeaderValue) -> Result<String> {
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Error::invalid("a header is not UTF-8"))?;
    Ok(text.to_owned())
}

/// Sets a header of an answer; what no header can hold is left out.
pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::try_from(name);
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
        headers.insert(name, value);
    }
}

/// Writes application properties into an answer.
pub(super) fn set_application(headers: &mut HeaderMap, properties: &[(String, String)]) {
    for (name, value) in properties {
        set(headers, &format!("{APPLICATION}{name}"), value);
    }
}
