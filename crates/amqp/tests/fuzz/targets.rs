//! What must hold for any bytes a peer may send. Each function is a target of `fuzz/`, which includes this file; on stable,
//! `main.rs` runs them over what clients say, changed a little.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{Endpoint, Event, Limits, Outgoing};
use pollux_amqp::frame::{Frame, FrameType, Frames, ProtocolHeader, write};
use pollux_amqp::performative::{DeliveryState, Error, Performative, condition};
use pollux_amqp::sasl::{ANONYMOUS, Code, MSSBCBS, PLAIN, Plain, SaslFrame};
use pollux_amqp::{Body, Message, Sections};

/// The byte stream: protocol headers, frames, and what is in them. The first byte says how the rest is cut.
pub(crate) fn frame(input: &[u8]) {
    let Some((chunk, stream)) = input.split_first() else { return };
    let chunk = usize::from(*chunk).max(1);
    let whole = frames(&mut [stream].into_iter());
    // What a frame is does not depend on where reads end.
    assert_eq!(whole, frames(&mut stream.chunks(chunk)));
    for frame in whole {
        let mut again = BytesMut::new();
        write(&mut again, frame.kind, frame.channel, |out| out.extend_from_slice(&frame.body));
        let taken = Frames::new(u32::MAX).take(&mut again).expect("what was written is a frame");
        assert_eq!(taken.as_ref(), Some(&frame));
        match frame.kind {
            FrameType::Amqp => drop(Performative::decode(frame.body)),
            FrameType::Sasl => drop(SaslFrame::decode(frame.body)),
        }
    }
}

fn frames(chunks: &mut dyn Iterator<Item = &[u8]>) -> Vec<Frame> {
    let (mut frames, mut input, mut headed) = (Vec::new(), BytesMut::new(), false);
    for chunk in chunks {
        input.extend_from_slice(chunk);
        if !headed {
            match ProtocolHeader::take(&mut input) {
                Ok(Some(_)) => headed = true,
                Ok(None) => continue,
                // The stream may as well begin with a frame.
                Err(_) if input.len() >= ProtocolHeader::SIZE => headed = true,
                Err(_) => continue,
            }
        }
        loop {
            match Frames::new(65_536).take(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// The body of an AMQP frame: what can be read can be written, and reads the same again.
pub(crate) fn performative(body: &[u8]) {
    let Ok((performative, payload)) = Performative::decode(Bytes::copy_from_slice(body)) else { return };
    assert!(body.ends_with(&payload));
    let written = encode(&performative);
    let (again, rest) = Performative::decode(written.clone()).expect("what was written can be read");
    assert!(rest.is_empty());
    // Not compared as values: a float that is no number differs from itself.
    assert_eq!(encode(&again), written);
}

fn encode(performative: &Performative) -> Bytes {
    let mut out = BytesMut::new();
    performative.encode(&mut out);
    out.freeze()
}

/// The body of a SASL frame, and the credentials of PLAIN.
pub(crate) fn sasl(body: &[u8]) {
    if let Some(plain) = Plain::parse(body) {
        assert!(plain.user.len() + plain.password.len() < body.len());
    }
    let Ok(frame) = SaslFrame::decode(Bytes::copy_from_slice(body)) else { return };
    if let SaslFrame::Init(init) = &frame {
        let _ = init.response.as_deref().map(Plain::parse);
    }
    let mut written = BytesMut::new();
    frame.encode(&mut written);
    assert_eq!(SaslFrame::decode(written.freeze()), Ok(frame));
}

/// A message: the view of its sections, each section, the whole, and the messages in a batch.
pub(crate) fn message(bytes: &[u8]) {
    look(Bytes::copy_from_slice(bytes), true);
}

fn look(bytes: Bytes, outer: bool) {
    let found = Sections::find(bytes.clone());
    if let Ok(sections) = &found {
        assert!(sections.bare().len() <= bytes.len());
        drop(sections.header());
        drop(sections.delivery_annotations());
        drop(sections.message_annotations());
        drop(sections.properties());
        drop(sections.application_properties());
        drop(sections.footer());
        if let (Ok(Body::Data(inner)), true) = (sections.body(), outer) {
            for message in inner {
                look(message, false);
            }
        }
    }
    let Ok(message) = Message::decode(bytes) else { return };
    assert!(found.is_ok(), "who decodes it all has found the sections");
    let written = message.encode();
    let again = Message::decode(written.clone()).expect("what was written can be read");
    assert_eq!(again.encode(), written);
}

/// What a peer may make it hold: `max_output`, and what one frame more can add to it.
const MOST_OUTPUT: usize = 4096 + 4 * 2048;

/// A server's end of a connection: whatever a peer says, in whatever pieces and with whatever pauses, it neither panics nor
/// grows. The driver agrees to most things and does a bit of everything.
pub(crate) fn endpoint(input: &[u8]) {
    let Some((&chunk, stream)) = input.split_first() else { return };
    let taking = chunk % 2 == 1;
    let mut now = start();
    let mut server = Endpoint::server(Arc::new(small()), vec![MSSBCBS, PLAIN, ANONYMOUS], false, now);
    let mut bytes = BytesMut::new();
    for (number, piece) in stream.chunks(usize::from(chunk / 2).max(1)).enumerate() {
        bytes.extend_from_slice(piece);
        server.receive(&mut bytes, now);
        while let Some(event) = server.next_event() {
            drive(&mut server, event, now);
        }
        assert!(server.output_len() < MOST_OUTPUT, "{} bytes wait to be taken", server.output_len());
        if taking || number % 7 == 0 {
            drop(server.take_output());
        }
        if number % 50 == 49 {
            now += Duration::from_secs(61);
            if let Some(next) = server.tick(now) {
                assert!(next > now, "time goes on");
            }
        }
        if server.is_closed() {
            return;
        }
        // What it does not take it must have a reason for: it is given no more, as a driver would.
        if !server.wants_read() {
            drop(server.take_output());
        }
    }
}

fn small() -> Limits {
    Limits {
        max_frame_size: 2048,
        max_sessions: 3,
        max_links: 3,
        max_message_size: 300,
        max_partial_bytes: 500,
        max_unsettled: 4,
        incoming_window: 6,
        max_events: 8,
        max_event_bytes: 4096,
        max_output: 4096,
        ..Limits::default()
    }
}

fn drive(server: &mut Endpoint, event: Event, now: Instant) {
    match event {
        Event::Sasl(init) if init.mechanism == PLAIN => {
            server.sasl_challenge(&b"?"[..]);
        }
        Event::Sasl(_) | Event::SaslResponse(_) => {
            server.sasl_outcome(Code::Ok);
        }
        Event::Opened(_) => server.open(Default::default()),
        Event::AttachRequested(request) if request.name.starts_with('x') => {
            server.refuse_attach(request.link, Error::new(condition::NOT_FOUND, "no"));
        }
        Event::AttachRequested(request) => {
            server.accept_attach(request.link, request.agreed());
            server.grant(request.link, 5);
        }
        Event::Credit { link, drain, .. } => {
            for settled in [true, false, false] {
                let payload = Bytes::from(vec![1; 1000]);
                // Refused where there is no room; what then is the driver's to remember.
                let _ = server.send(link, Outgoing { tag: b"t", message_format: 0, payload, settled });
            }
            if drain {
                server.drained(link);
            }
        }
        Event::Delivery(delivery) if delivery.payload.first() == Some(&b'!') => {
            server.detach(delivery.link, Some(Error::new(condition::INTERNAL_ERROR, "!")));
        }
        Event::Delivery(delivery) if delivery.payload.first() == Some(&b'.') => server.close(None, now),
        Event::Delivery(delivery) => {
            if delivery.id.0 % 2 == 0 {
                server.settle(delivery.link, delivery.id, DeliveryState::Accepted);
            }
            server.grant(delivery.link, 5);
        }
        _ => {}
    }
}

/// A moment to begin with.
#[expect(
    clippy::disallowed_methods,
    reason = "the machine wants an Instant, and there is no other way to make one"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
