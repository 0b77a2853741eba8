//! Which partition a key belongs to, as Event Hubs decides it, so that a key lands here where it would land in Azure.
//!
//! The hash is Bob Jenkins' lookup3 `hashlittle2` over the key's UTF-8 bytes with zero seeds; its two words are XORed,
//! the low 16 bits read as a signed number, and its absolute remainder is the partition
//! (azure-sdk-for-js `sdk/eventhub/event-hubs/src/impl/partitionKeyToIdMapper.ts`).

/// The partition of `key` among `partitions` (at least one).
#[must_use]
pub fn partition_of(key: &str, partitions: u32) -> u32 {
    let (c, b) = lookup3(key.as_bytes());
    let hash = i32::from((c ^ b).to_le_bytes().first_chunk::<2>().map_or(0, |low| i16::from_le_bytes(*low)));
    hash.unsigned_abs() % partitions.max(1)
}

fn lookup3(key: &[u8]) -> (u32, u32) {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let start = 0xdead_beef_u32.wrapping_add(length);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = key;
    while rest.len() > 12 {
        let (block, tail) = rest.split_at(12);
        a = a.wrapping_add(word(block, 0));
        b = b.wrapping_add(word(block, 4));
        c = c.wrapping_add(word(block, 8));
        (a, b, c) = mix(a, b, c);
        rest = tail;
    }
    if rest.is_empty() {
        return (c, b);
    }
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 4));
    c = c.wrapping_add(word(rest, 8));
    (_, b, c) = last_mix(a, b, c);
    (c, b)
}

/// Four little-endian bytes from `at`; those past the end count as zero.
fn word(block: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |word, i| word | u32::from(block.get(at + i).copied().unwrap_or(0)) << (8 * i))
}

const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

const fn last_mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (a, b, c)
}
