//! Who wrote a frame: every open log has a tag of its own, with which the ids of its frames begin.

use std::sync::atomic::{AtomicU64, Ordering};

use pollux_model::{Random, SystemRandom};

use super::frame::FrameId;

/// Length of a tag.
pub(crate) const TAG_LEN: usize = 8;

/// A log that is open somewhere: random, so that no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(pub(crate) [u8; TAG_LEN]);

impl Tag {
    /// Whose frame this is.
    pub(crate) fn of(id: &FrameId) -> Self {
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&id[..TAG_LEN]);
        Self(tag)
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.0))
    }

    /// Whether appends to the partition are rather this log's than `other`'s. All logs see it alike, and it has no
    /// circles; which log comes first differs from partition to partition, so that each gets its share of them.
    pub(crate) fn precedes(self, other: Self, js_stream: &str) -> bool {
        (self.rank(js_stream), self) < (other.rank(js_stream), other)
    }

    /// FNV-1a, and what MurmurHash3 does at its end. Part of what nodes of different releases must agree on: see
    /// `handover/exchange.rs`.
    fn rank(self, js_stream: &str) -> u64 {
        let bytes = js_stream.bytes().chain(self.0);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

/// Numbers no two frames of all processes share.
#[derive(Debug)]
pub(crate) struct FrameIds {
    tag: Tag,
    next: AtomicU64,
}

impl FrameIds {
    pub(crate) fn new() -> Self {
        let mut tag = [0; TAG_LEN];
        SystemRandom.fill(&mut tag);
        Self { tag: Tag(tag), next: AtomicU64::new(0) }
    }

    /// What all of them begin with.
    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    pub(crate) fn next(&self) -> FrameId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        id[..TAG_LEN].copy_from_slice(&self.tag.0);
        id[TAG_LEN..].copy_from_slice(&number.to_le_bytes());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameIds, Tag};

    #[test]
    fn every_log_comes_first_somewhere_and_nowhere_in_a_circle() {
        let tags = [1, 2, 3].map(|n| Tag([n; 8]));
        let mut first = [0; 3];
        for partition in 0..96 {
            let place = format!("pollux-log-ns-hub-0123456789abcdef-{partition}");
            let mut sorted = tags;
            sorted.sort_by(|a, b| b.precedes(*a, &place).cmp(&a.precedes(*b, &place)));
            for (index, tag) in sorted.iter().enumerate() {
                assert!(!tag.precedes(*tag, &place));
                assert!(sorted[index + 1..].iter().all(|later| tag.precedes(*later, &place)));
            }
            for (count, tag) in first.iter_mut().zip(tags) {
                *count += i32::from(sorted[0] == tag);
            }
        }
        assert!(first.iter().all(|count| *count > 16), "{first:?}");
    }

    /// Nodes of different releases must see it alike.
    #[test]
    fn the_rank_never_changes() {
        let rank = Tag([0, 1, 2, 3, 4, 5, 6, 7]).rank("pollux-log-ns-hub-0123456789abcdef-3");
        assert_eq!(rank, 9_073_938_435_232_192_599);
    }

    #[test]
    fn a_frame_tells_whose_it_is() {
        let ids = FrameIds::new();
        assert_eq!(Tag::of(&ids.next()), ids.tag());
        assert_eq!(Tag([0, 0, 0, 0, 0, 0, 1, 0xab]).hex(), "00000000000001ab");
    }
}
