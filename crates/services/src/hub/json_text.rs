//! Bodies that are JSON.

use std::borrow::Cow;

/// The body as text, if its content type and encoding say that it is JSON in a Unicode encoding (Azure article "IoT Hub message
/// routing query syntax"). Whether it is JSON indeed is not looked at.
pub(crate) fn json_text<'b>(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &'b [u8],
) -> Option<Cow<'b, str>> {
    let kind = content_type?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return None;
    }
    match content_encoding?.to_ascii_lowercase().as_str() {
        "utf-8" => std::str::from_utf8(body).ok().map(Cow::Borrowed),
        "utf-16" => {
            let units: Vec<u16> =
                body.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok().map(Cow::Owned)
        }
        "utf-32" => {
            let words =
                body.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            let text: Option<String> = words.map(char::from_u32).collect();
            text.map(Cow::Owned)
        }
        _ => None,
    }
}
