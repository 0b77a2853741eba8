//! SASL TPM: a device proves itself with its TPM before the connection opens (WIRE.md 4.4; `sasl_tpm.js` of npm's
//! azure-iot-provisioning-device-amqp, `SaslTpmHandler.cs` of the SDK for C#).
//!
//! ```text
//!   init       NUL idScope NUL registrationId NUL endorsement key
//!   challenge  one byte                        ─▶ response  NUL storage root key
//!   challenge  0x80|n, a segment of the key    ─▶ response  NUL
//!   challenge  0xc0|n, the last segment        ─▶ response  NUL token
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use pollux_amqp::sasl::{Code, Response};
use pollux_model::Result;
use pollux_services::provisioning::TpmKeys;

use super::connection::{Connection, Done};
use super::registration::{Place, unknown};

/// Bytes of the key in one challenge: a SASL frame has 512 (OASIS AMQP 1.0 part 5, section 5.3.1), and the SDK for C# expects
/// as many.
const SEGMENT: usize = 400;
/// What the first byte of a segment says: it is one; and it is the last.
const MORE: u8 = 0x80;
const LAST: u8 = 0xc0;

/// Where an exchange stands.
pub(super) struct Exchange {
    scope: String,
    id: String,
    next: Next,
}

/// What the device has to say next.
enum Next {
    /// Its storage root key; its endorsement key is known.
    StorageRootKey(Bytes),
    /// That it wants the next segment, or, when none is left, its token.
    Segment(VecDeque<Bytes>),
}

impl Exchange {
    /// Takes the first message apart.
    fn begin(init: &[u8]) -> Option<Self> {
        let mut parts = init.splitn(4, |byte| *byte == 0);
        let (before, scope, id, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.is_empty());
        let whole = before.is_empty() && !key.is_empty();
        whole.then_some(())?;
        let next = Next::StorageRootKey(Bytes::copy_from_slice(key));
        Some(Self { scope: text(scope)?, id: text(id)?, next })
    }
}

/// The key in segments, each with the byte that says which it is.
fn segments(key: &[u8]) -> VecDeque<Bytes> {
    let count = key.chunks(SEGMENT).count();
    let numbered = key.chunks(SEGMENT).enumerate().map(|(at, piece)| {
        let mut segment = BytesMut::with_capacity(piece.len() + 1);
        let number = u8::try_from(at).unwrap_or_default() & !LAST;
        segment.put_u8(if at + 1 == count { LAST } else { MORE } | number);
        segment.put_slice(piece);
        segment.freeze()
    });
    numbered.collect()
}

impl Connection {
    /// The device shows who it is.
    pub(super) fn tpm_begun(&mut self, init: &[u8]) {
        self.exchange = Exchange::begin(init);
        if self.exchange.is_some() {
            self.endpoint.sasl_challenge(Bytes::from_static(&[0]));
        } else {
            self.endpoint.sasl_outcome(Code::Auth);
        }
    }

    /// The device answers a challenge.
    pub(super) fn tpm_answered(&mut self, response: &Response) {
        let answer = response.0.strip_prefix(&[0]).map(Bytes::copy_from_slice);
        let (Some(Exchange { scope, id, next }), Some(answer)) = (self.exchange.take(), answer) else {
            self.endpoint.sasl_outcome(Code::Auth);
            return;
        };
        match next {
            Next::StorageRootKey(endorsement) => self.challenge_tpm(scope, id, endorsement, answer),
            Next::Segment(mut segments) => match segments.pop_front() {
                Some(segment) => {
                    self.endpoint.sasl_challenge(segment);
                    self.exchange = Some(Exchange { scope, id, next: Next::Segment(segments) });
                }
                None => match std::str::from_utf8(&answer) {
                    Ok(token) => self.attest_by_token(Place { scope: &scope, id: &id }, token),
                    Err(_) => {
                        self.endpoint.sasl_outcome(Code::Auth);
                    }
                },
            },
        }
    }

    fn challenge_tpm(&mut self, scope: String, id: String, endorsement: Bytes, storage_root: Bytes) {
        let (services, from) = (Arc::clone(&self.edge.services), Some(self.peer.address.ip()));
        self.work.push(Box::pin(async move {
            let challenged = async {
                let dps = services.context.table.with_id_scope(&scope).ok_or_else(unknown)?;
                let keys = TpmKeys { endorsement: &endorsement, storage_root: &storage_root };
                services.provisioning.tpm_challenge(&dps, &id, keys, from).await
            };
            let challenged = challenged.await;
            Done::Challenged { scope, id, challenged }
        }));
    }

    /// There is a key for the device to open, or there is none.
    pub(super) fn tpm_challenged(&mut self, scope: String, id: String, challenged: Result<Vec<u8>>) {
        match challenged {
            Ok(key) => {
                let mut segments = segments(&key);
                if let Some(first) = segments.pop_front() {
                    self.endpoint.sasl_challenge(first);
                }
                self.exchange = Some(Exchange { scope, id, next: Next::Segment(segments) });
            }
            Err(error) => self.attested(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_in_numbered_segments() {
        let key: Vec<u8> = (0..900_u32).map(|at| at as u8).collect();
        let all = segments(&key);
        assert_eq!(
            all.iter().map(|one| (one[0], one.len())).collect::<Vec<_>>(),
            [(0x80, 401), (0x81, 401), (0xc2, 101)]
        );
        assert_eq!(all.iter().flat_map(|one| one[1..].to_vec()).collect::<Vec<_>>(), key);
        assert_eq!(segments(&[1]), [Bytes::from_static(&[0xc0, 1])]);
    }

    #[test]
    fn the_first_message_is_taken_apart() {
        let begun = Exchange::begin(b"\x000ne1\0dev-1\0\x01\0\x02").unwrap();
        assert_eq!((begun.scope.as_str(), begun.id.as_str()), ("0ne1", "dev-1"));
        assert!(matches!(begun.next, Next::StorageRootKey(key) if key == b"\x01\0\x02"[..]));
        for bad in [
            &b""[..],
            b"\0",
            b"\0a\0b",
            b"\0a\0b\0",
            b"x\0a\0b\0c",
            b"\0\0b\0c",
            b"\0a\0\0c",
            b"\0\xff\0b\0c",
        ] {
            assert!(Exchange::begin(bad).is_none(), "{bad:?}");
        }
    }
}
