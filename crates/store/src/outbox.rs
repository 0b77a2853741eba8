//! The outbox's shards: which relay carries which entries.
//!
//! A backend splits its outbox in a fixed number of shards so that several relays can work side by side. What shares
//! a partition key is in one shard, because its order must be kept.

/// The shard of a partition key among `shards`. Stored beside the entries, so it MUST stay the same function for ever:
/// FNV-1a of 64 bits over the key's bytes, mixed by the finalizer of MurmurHash3 (FNV alone hardly tells keys apart
/// that differ in their last bytes), the upper half of it modulo the number of shards.
#[must_use]
pub fn shard_of(partition_key: &str, shards: u32) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = partition_key.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let upper = u32::try_from(hash >> 32).unwrap_or_default();
    upper % shards.max(1)
}

#[cfg(test)]
mod tests {
    use super::shard_of;

    #[test]
    fn the_function_stays_as_it_is() {
        let found: Vec<u32> = ["", "a", "device-1", "device-2", "Küche"].map(|key| shard_of(key, 8)).to_vec();
        assert_eq!(found, [0, 0, 4, 2, 4]);
        assert_eq!(shard_of("device-1", 1), 0);
        assert_eq!(shard_of("device-1", 0), 0);
    }

    #[test]
    fn keys_are_spread() {
        let mut counts = [0_u32; 8];
        for number in 0..8000 {
            counts[shard_of(&format!("device-{number:06}"), 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
