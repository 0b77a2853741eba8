//! Values of DTDL v4 that JSON carries as strings: bytes, decimals and UUIDs. Form only; nothing is converted.

/// Base64 with padding (RFC 4648, section 4).
pub(super) fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// An optional sign, digits, and an optional fraction of a point and digits. Source: `DTDL.v4.md`, "Primitive schema".
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(w, f)| (w, Some(f)));
    digits(whole) && fraction.is_none_or(digits)
}

/// Five groups of hexadecimal digits (RFC 9562, section 4).
pub(super) fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    let mut group = |length: usize| {
        groups.next().is_some_and(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let formed = group(8) && group(4) && group(4) && group(4) && group(12);
    formed && groups.next().is_none()
}
