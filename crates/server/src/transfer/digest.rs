//! Checksums: of a file's bytes, and of what a table or partition holds.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of a file as it is written or read.
pub(super) struct Running(Context);

impl Running {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// What is there, in whatever order: the sum of the items' SHA-256 modulo 2^256. Backends read some tables in another
/// order; this stays the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Content {
    sum: [u64; 4],
    count: u64,
}

impl Content {
    pub(super) fn add(&mut self, item: &[u8]) {
        self.add_digest(digest(&SHA256, item).as_ref());
    }

    /// An item in parts, each with its length before it.
    pub(super) fn add_parts(&mut self, parts: &[&[u8]]) {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        self.add_digest(context.finish().as_ref());
    }

    /// How many items there are.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// In hexadecimal.
    pub(super) fn text(&self) -> String {
        self.sum.iter().rev().map(|limb| format!("{limb:016x}")).collect()
    }

    fn add_digest(&mut self, digest: &[u8]) {
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(digest.chunks_exact(8)) {
            let bytes = bytes.try_into().map_or(0, u64::from_le_bytes);
            let (sum, over) = limb.overflowing_add(bytes);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || again);
        }
        self.count += 1;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_the_same_in_any_order_and_tell_items_apart() {
        let of = |items: &[&str]| {
            let mut content = Content::default();
            items.iter().for_each(|item| content.add(item.as_bytes()));
            content.text()
        };
        assert_eq!(of(&["a", "b", "c", "a"]), of(&["c", "a", "a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_eq!(of(&[]), "0".repeat(64));
    }

    #[test]
    fn the_sum_carries() {
        let mut content = Content { sum: [u64::MAX, u64::MAX, 0, 0], count: 0 };
        let mut one = [0; 32];
        one[0] = 1;
        content.add_digest(&one);
        assert_eq!(content.sum, [0, 0, 1, 0]);
    }

    #[test]
    fn parts_are_told_apart() {
        let of = |parts: &[&[u8]]| {
            let mut content = Content::default();
            content.add_parts(parts);
            content
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
    }
}
