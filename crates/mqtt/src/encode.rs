//! The packets a server sends, written by hand: six of them, without the boxes the codec's own types want.

use bytes::{BufMut, BytesMut};

use crate::event::{PacketId, QoS};

/// Refuses a client of MQTT 5 in its own words: CONNACK, reason 0x84 "Unsupported Protocol Version", no properties.
pub(crate) const CONNACK_V5_UNSUPPORTED: [u8; 5] = [0x20, 3, 0, 0x84, 0];

pub(crate) fn connack(out: &mut BytesMut, session_present: bool, code: u8) {
    out.put_slice(&[0x20, 2, u8::from(session_present), code]);
}

pub(crate) fn puback(out: &mut BytesMut, packet_id: PacketId) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(packet_id.get());
}

pub(crate) fn suback(out: &mut BytesMut, packet_id: PacketId, granted: &[Option<QoS>]) {
    out.put_u8(0x90);
    put_length(out, 2 + granted.len());
    out.put_u16(packet_id.get());
    out.extend(granted.iter().map(|qos| qos.map_or(0x80, |qos| qos as u8)));
}

pub(crate) fn unsuback(out: &mut BytesMut, packet_id: PacketId) {
    out.put_slice(&[0xB0, 2]);
    out.put_u16(packet_id.get());
}

pub(crate) fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}

/// Bytes of a PUBLISH with the longest possible fixed header.
pub(crate) const fn publish_size(topic: &str, payload: &[u8]) -> usize {
    5 + 2 + topic.len() + 2 + payload.len()
}

/// A PUBLISH; QoS 1 when there is a packet id. `topic` is at most 65,535 bytes and the packet within the limits.
pub(crate) fn publish(
    out: &mut BytesMut,
    topic: &str,
    payload: &[u8],
    packet_id: Option<PacketId>,
    dup: bool,
) {
    out.reserve(publish_size(topic, payload));
    out.put_u8(0x30 | (u8::from(dup) << 3) | (u8::from(packet_id.is_some()) << 1));
    put_length(out, 2 + topic.len() + if packet_id.is_some() { 2 } else { 0 } + payload.len());
    out.put_u16(u16::try_from(topic.len()).expect("the caller checked that the topic fits"));
    out.put_slice(topic.as_bytes());
    if let Some(packet_id) = packet_id {
        out.put_u16(packet_id.get());
    }
    out.put_slice(payload);
}

/// The remaining length: seven bits a byte, least significant first (MQTT 3.1.1, section 2.2.3).
fn put_length(out: &mut BytesMut, mut length: usize) {
    loop {
        let digit = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            out.put_u8(digit);
            return;
        }
        out.put_u8(digit | 0x80);
    }
}
