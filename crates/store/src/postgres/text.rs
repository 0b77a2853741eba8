//! Text that PostgreSQL can hold.
//!
//! It refuses the character NUL, which an id may have. So NUL is kept as `\u{1}\u{1}` and `\u{1}` as `\u{1}\u{2}`: the
//! order of bytes stays what it was, a prefix stays a prefix, and nothing else changes. Documents need none of it,
//! for JSON escapes both.

use std::borrow::Cow;

/// As it is stored and compared.
pub(super) fn text(plain: &str) -> Cow<'_, str> {
    if plain.bytes().any(|byte| byte <= 1) {
        Cow::Owned(plain.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
    } else {
        Cow::Borrowed(plain)
    }
}

/// As it was.
pub(super) fn plain(stored: &str) -> String {
    if !stored.contains('\u{1}') {
        return stored.to_owned();
    }
    let mut plain = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\u{1}' if characters.next() == Some('\u{1}') => '\0',
            other => other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{plain, text};

    #[test]
    fn text_comes_back_and_keeps_its_order() {
        let mut all =
            ["", "a", "a\0", "a\0\0", "a\0z", "a\u{1}", "a\u{1}\0", "a\u{1}\u{1}", "a\u{2}", "aé", "b"];
        all.sort_unstable();
        for one in all {
            assert_eq!(plain(&text(one)), one);
            assert!(!text(one).contains('\0'));
        }
        assert!(all.is_sorted_by(|a, b| text(a) < text(b)));
    }
}
