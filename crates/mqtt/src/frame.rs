//! From bytes to one packet: the fixed header, the codec's decoding, and what the standard forbids but the codec lets
//! pass.

use bytes::{Bytes, BytesMut};
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::QoS as CodecQoS;
use rmqtt_codec::v3::{self, Codec, Packet};
use tokio_util::codec::Decoder;

use crate::event::{Connect, QoS, Violation, Will};
use crate::topic;

/// First byte of a CONNECT.
pub(crate) const CONNECT: u8 = 0x10;

/// A fixed header (MQTT 3.1.1, section 2.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) first: u8,
    /// Length of the fixed header itself: 2 to 5 bytes.
    length: usize,
    /// Length of what follows it.
    body: usize,
}

impl Header {
    /// The header at the front of `bytes`; none while it is incomplete.
    pub(crate) fn peek(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let mut body = 0usize;
        for (index, &byte) in rest.iter().take(4).enumerate() {
            body |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(Some(Self { first, length: index + 2, body }));
            }
        }
        if rest.len() >= 4 {
            return Err(Violation::Malformed("a remaining length of more than four bytes"));
        }
        Ok(None)
    }

    /// Length of the whole packet, in bytes.
    pub(crate) const fn packet(&self) -> usize {
        self.length + self.body
    }
}

/// Takes the packet of `header`, all of which is there, off the front of `bytes`.
pub(crate) fn take_packet(bytes: &mut BytesMut, header: Header) -> Result<Packet, Violation> {
    let body = &bytes[header.length..header.packet()];
    match header.first {
        0xC0 | 0xE0 if !body.is_empty() => return Err(Violation::Malformed("a body where there is none")),
        0x82 if reserved_qos_bits(body) => {
            return Err(Violation::Malformed("reserved bits of a requested QoS"));
        }
        0x30..=0x3F if header.first & 0b1110 == 0b1000 => return Err(Violation::Malformed("DUP with QoS 0")),
        _ => {}
    }
    // The codec gets whole packets only, so it keeps no state from one to the next.
    match Codec::new(0).decode(bytes) {
        Ok(Some((packet, _))) => Ok(packet),
        Ok(None) => Err(Violation::Malformed("shorter than its own length")),
        Err(error) => Err(violation(&error, header.first)),
    }
}

/// Takes the CONNECT of `header`, all of which is there, off the front of `bytes`.
pub(crate) fn take_connect(
    bytes: &mut BytesMut,
    header: Header,
    max_topic: usize,
) -> Result<Connect, Violation> {
    check_protocol(&bytes[header.length..header.packet()])?;
    let Packet::Connect(connect) = take_packet(bytes, header)? else {
        return Err(Violation::NotConnect(header.first));
    };
    if connect_size(&connect) != header.body {
        return Err(Violation::Malformed("bytes after the end of the CONNECT"));
    }
    if connect.password.is_some() && connect.username.is_none() {
        return Err(Violation::Malformed("a password without a user name"));
    }
    let username = connect.username.as_deref();
    if connect.client_id.contains('\0') || username.is_some_and(|name| name.contains('\0')) {
        return Err(Violation::Malformed("a NUL character"));
    }
    let will = match &connect.last_will {
        Some(will) => {
            topic::check_name(&will.topic, max_topic)?;
            Some(Will {
                topic: will.topic.to_string(),
                payload: Bytes::copy_from_slice(&will.message),
                qos: at_most_one(will.qos),
                retain: will.retain,
            })
        }
        None => None,
    };
    Ok(Connect {
        client_id: connect.client_id.to_string(),
        clean_session: connect.clean_session,
        keep_alive: connect.keep_alive,
        username: username.map(str::to_owned),
        password: connect.password.as_ref().map(|password| password.to_vec()),
        will,
    })
}

/// QoS 2 is granted as QoS 1.
pub(crate) const fn at_most_one(qos: CodecQoS) -> QoS {
    match qos {
        CodecQoS::AtMostOnce => QoS::AtMostOnce,
        CodecQoS::AtLeastOnce | CodecQoS::ExactlyOnce => QoS::AtLeastOnce,
    }
}

/// Looks at protocol name and level before anything else: what follows them differs between versions.
fn check_protocol(body: &[u8]) -> Result<(), Violation> {
    let (name, rest) = match body {
        [0, 4, rest @ ..] if rest.starts_with(b"MQTT") => ("MQTT", &rest[4..]),
        [0, 6, rest @ ..] if rest.starts_with(b"MQIsdp") => ("MQIsdp", &rest[6..]),
        _ => return Err(Violation::Malformed("not the protocol name MQTT")),
    };
    match (name, rest.first()) {
        ("MQTT", Some(4)) => Ok(()),
        (_, Some(&level)) => Err(Violation::UnsupportedProtocol(level)),
        (_, None) => Err(Violation::Malformed("no protocol level")),
    }
}

/// Length the body of `connect` must have; the codec does not look at what comes after it.
fn connect_size(connect: &v3::Connect) -> usize {
    let will = connect.last_will.as_ref().map_or(0, |will| 4 + will.topic.len() + will.message.len());
    let username = connect.username.as_ref().map_or(0, |name| 2 + name.len());
    let password = connect.password.as_ref().map_or(0, |password| 2 + password.len());
    10 + 2 + connect.client_id.len() + will + username + password
}

/// Whether a requested QoS of a SUBSCRIBE has one of its six reserved bits set (MQTT-3.8.3-4); the codec masks them.
fn reserved_qos_bits(body: &[u8]) -> bool {
    let mut rest = body.get(2..).unwrap_or_default();
    while let [high, low, filter @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match filter.get(length..) {
            Some([qos, ..]) if qos & 0b1111_1100 != 0 => return true,
            Some([_, after @ ..]) => rest = after,
            _ => return false,
        }
    }
    false
}

fn violation(error: &DecodeError, first: u8) -> Violation {
    Violation::Malformed(match error {
        DecodeError::InvalidClientId => return Violation::ClientIdRequired,
        DecodeError::InvalidTopicFilter => return Violation::InvalidFilter("none, or an empty one"),
        DecodeError::InvalidTopicName => return Violation::InvalidTopic("empty"),
        DecodeError::UnsupportedPacketType => match first >> 4 {
            0 | 15 => "a reserved packet type",
            _ => "reserved flags of the fixed header",
        },
        DecodeError::InvalidProtocol | DecodeError::UnsupportedProtocolLevel => "protocol name or level",
        DecodeError::InvalidLength => "a field reaches past the end, or bytes are left over",
        DecodeError::ConnectReservedFlagSet => "the reserved flag of CONNECT",
        DecodeError::InvalidConnectFlags => "will flags without a will",
        DecodeError::ConnAckReservedFlagSet => "a CONNACK",
        DecodeError::PacketIdRequired => "no packet id",
        DecodeError::MaxSizeExceeded { .. } => "too long",
        DecodeError::Utf8Error => "text that is not UTF-8",
        DecodeError::MalformedPacket => "a value out of range",
        DecodeError::Io(_) => "unreadable",
    })
}
