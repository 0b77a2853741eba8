//! How many refusals of one address are kept a minute, so that a stranger cannot fill the audit record. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use pollux_model::Timestamp;

/// How long a share is for.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are told apart; the others have one share together.
const ADDRESSES: usize = 4_096;

/// What an address has had.
#[derive(Debug, Clone, Copy)]
struct Share {
    begun: Timestamp,
    kept: u32,
    left_out: u64,
}

/// What addresses have had.
#[derive(Debug, Default)]
pub(in crate::provisioning) struct Bound {
    shares: HashMap<Option<IpAddr>, Share>,
}

impl Bound {
    /// Whether one more of this address is kept: then how many were left out before it.
    pub(super) fn admits(&mut self, address: Option<IpAddr>, now: Timestamp, most: u32) -> Option<u64> {
        if self.shares.len() >= ADDRESSES && !self.shares.contains_key(&address) {
            self.shares.retain(|_, share| now.since(share.begun) < WINDOW);
        }
        let full = self.shares.len() >= ADDRESSES && !self.shares.contains_key(&address);
        let address = if full { None } else { address };
        let share = self.shares.entry(address).or_insert(Share { begun: now, kept: 0, left_out: 0 });
        if now.since(share.begun) >= WINDOW {
            (share.begun, share.kept) = (now, 0);
        }
        if share.kept >= most {
            share.left_out += 1;
            return None;
        }
        share.kept += 1;
        Some(std::mem::take(&mut share.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_has_its_share_each_minute() {
        let mut bound = Bound::default();
        let (one, other) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let at = |seconds: i64| Timestamp::from_secs(1_700_000_000 + seconds);
        for (address, seconds, kept) in [
            (one, 0, Some(0)),
            (one, 1, Some(0)),
            (one, 2, None),
            (other, 2, Some(0)),
            (one, 3, None),
            (one, 60, Some(2)),
            (one, 61, Some(0)),
        ] {
            assert_eq!(bound.admits(address, at(seconds), 2), kept, "{address:?} at {seconds}");
        }
    }

    #[test]
    fn many_addresses_share_one_share() {
        let mut bound = Bound::default();
        let now = Timestamp::from_secs(1_700_000_000);
        let address = |n: u32| Some(IpAddr::from(Ipv4Addr::from(n)));
        let kept = (0..20_000).filter(|n| bound.admits(address(*n), now, 3).is_some()).count();
        assert_eq!((kept, bound.shares.len()), (ADDRESSES + 3, ADDRESSES + 1));
    }
}
