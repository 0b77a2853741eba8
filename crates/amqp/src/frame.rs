//! Protocol headers and frames (OASIS AMQP 1.0 part 2, sections 2.2 and 2.3): the cut of the byte stream.
//!
//! What is inside a frame is read in [`crate::performative`] and [`crate::sasl`].

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a frame's header.
pub const HEADER: usize = 8;
/// The smallest limit on frame sizes a peer may set (part 2, section 2.8.19: MIN-MAX-FRAME-SIZE), in bytes.
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// The eight bytes that begin a layer of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// AMQP itself, version 1.0.0.
    Amqp,
    /// SASL, version 1.0.0 (part 5, section 5.3.1).
    Sasl,
}

impl ProtocolHeader {
    /// Length in bytes.
    pub const SIZE: usize = 8;

    /// The bytes on the wire.
    #[must_use]
    pub const fn bytes(self) -> [u8; Self::SIZE] {
        match self {
            Self::Amqp => *b"AMQP\x00\x01\x00\x00",
            Self::Sasl => *b"AMQP\x03\x01\x00\x00",
        }
    }

    /// Takes a header off the front; `None` while it is not all there and could still become one.
    ///
    /// # Errors
    /// [`FrameError::NoProtocolHeader`] with the bytes that are something else.
    pub fn take(input: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let begins = |header: Self| input.iter().zip(header.bytes()).all(|(got, want)| *got == want);
        let Some(header) = [Self::Amqp, Self::Sasl].into_iter().find(|header| begins(*header)) else {
            let mut found = [0; Self::SIZE];
            let length = input.len().min(Self::SIZE);
            found[..length].copy_from_slice(&input[..length]);
            return Err(FrameError::NoProtocolHeader(found));
        };
        if input.len() < Self::SIZE {
            return Ok(None);
        }
        input.advance(Self::SIZE);
        Ok(Some(header))
    }
}

/// What a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// 0x00: a performative, or nothing.
    Amqp,
    /// 0x01: the security layer.
    Sasl,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: FrameType,
    /// The channel it came on; of no meaning in a SASL frame.
    pub channel: u16,
    /// What follows the header and the extended header. Empty: a heartbeat. Shares the input's memory.
    pub body: Bytes,
}

/// The bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither of the two protocol headers.
    #[error("{0:02x?} begins neither AMQP 1.0.0 nor SASL 1.0.0")]
    NoProtocolHeader([u8; ProtocolHeader::SIZE]),
    /// Longer than this side takes.
    #[error("a frame of {size} bytes exceeds max-frame-size {max}")]
    TooLarge {
        /// Its size in bytes.
        size: u32,
        /// The bound.
        max: u32,
    },
    /// Shorter than a header.
    #[error("a frame of {0} bytes is shorter than a frame header")]
    TooSmall(u32),
    /// The body would begin within the header or behind the end.
    #[error("a data offset of {doff} words does not fit a frame of {size} bytes")]
    DataOffset {
        /// In units of four bytes.
        doff: u8,
        /// The frame's size in bytes.
        size: u32,
    },
    /// Neither AMQP nor SASL.
    #[error("0x{0:02x} is no frame type")]
    UnknownType(u8),
}

/// Cuts frames off the front of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    max: u32,
}

impl Frames {
    /// A decoder that takes frames of up to `max` bytes, header included.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { max }
    }

    /// Takes one frame off the front; `None` while it is not all there. A frame that is too long is refused as soon as its
    /// size is known.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be read any further.
    pub fn take(self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(&[a, b, c, d]) = input.first_chunk() else { return Ok(None) };
        let size = u32::from_be_bytes([a, b, c, d]);
        if size < HEADER as u32 {
            return Err(FrameError::TooSmall(size));
        }
        if size > self.max {
            return Err(FrameError::TooLarge { size, max: self.max });
        }
        let Some(&[_, _, _, _, doff, kind, high, low]) = input.first_chunk() else { return Ok(None) };
        let start = usize::from(doff) * 4;
        if start < HEADER || start > size as usize {
            return Err(FrameError::DataOffset { doff, size });
        }
        let kind = match kind {
            0x00 => FrameType::Amqp,
            0x01 => FrameType::Sasl,
            other => return Err(FrameError::UnknownType(other)),
        };
        if input.len() < size as usize {
            return Ok(None);
        }
        let mut frame = input.split_to(size as usize).freeze();
        frame.advance(start);
        Ok(Some(Frame { kind, channel: u16::from_be_bytes([high, low]), body: frame }))
    }
}

/// Appends a frame whose body `content` writes; returns its size in bytes.
pub fn write(
    out: &mut BytesMut,
    kind: FrameType,
    channel: u16,
    content: impl FnOnce(&mut BytesMut),
) -> usize {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(2);
    out.put_u8(match kind {
        FrameType::Amqp => 0x00,
        FrameType::Sasl => 0x01,
    });
    out.put_u16(channel);
    content(out);
    let size = out.len() - start;
    let announced = u32::try_from(size).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&announced.to_be_bytes());
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        Frames::new(512).take(&mut BytesMut::from(bytes))
    }

    #[test]
    fn frames_come_back_whole_and_in_pieces() {
        let mut bytes = BytesMut::new();
        assert_eq!(write(&mut bytes, FrameType::Amqp, 7, |out| out.put_slice(b"abc")), 11);
        assert_eq!(write(&mut bytes, FrameType::Sasl, 0, |_| {}), 8);
        let mut input = BytesMut::new();
        let mut found = Vec::new();
        for byte in bytes {
            input.put_u8(byte);
            found.extend(Frames::new(512).take(&mut input).unwrap());
        }
        let body = Bytes::from_static(b"abc");
        assert_eq!(
            found,
            [
                Frame { kind: FrameType::Amqp, channel: 7, body },
                Frame { kind: FrameType::Sasl, channel: 0, body: Bytes::new() },
            ]
        );
    }

    #[test]
    fn an_extended_header_is_passed_over() {
        let frame = take(&[0, 0, 0, 13, 3, 0, 0, 1, 9, 9, 9, 9, 42]).unwrap().unwrap();
        assert_eq!((frame.channel, &frame.body[..]), (1, &[42][..]));
    }

    #[test]
    fn bad_frames_are_refused_by_name() {
        let cases: [(&[u8], FrameError); 6] = [
            (&[0, 0, 0, 7], FrameError::TooSmall(7)),
            (&[0, 0, 0, 0, 2, 0, 0, 0], FrameError::TooSmall(0)),
            (&[0, 0, 2, 1], FrameError::TooLarge { size: 513, max: 512 }),
            (&[0, 0, 0, 8, 1, 0, 0, 0], FrameError::DataOffset { doff: 1, size: 8 }),
            (&[0, 0, 0, 8, 3, 0, 0, 0], FrameError::DataOffset { doff: 3, size: 8 }),
            (&[0, 0, 0, 8, 2, 2, 0, 0], FrameError::UnknownType(2)),
        ];
        for (bytes, error) in cases {
            assert_eq!(take(bytes), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn protocol_headers_are_told_apart() {
        for header in [ProtocolHeader::Amqp, ProtocolHeader::Sasl] {
            let mut input = BytesMut::from(&header.bytes()[..]);
            assert_eq!(ProtocolHeader::take(&mut input.split_to(7)), Ok(None));
            let mut input = BytesMut::from(&header.bytes()[..]);
            assert_eq!(ProtocolHeader::take(&mut input), Ok(Some(header)));
            assert!(input.is_empty());
        }
        for other in [&b"GET / HTTP"[..], b"AMQP\x00\x00\x09\x01", b"\x16\x03\x01"] {
            assert!(ProtocolHeader::take(&mut BytesMut::from(other)).is_err(), "{other:02x?}");
        }
    }
}
