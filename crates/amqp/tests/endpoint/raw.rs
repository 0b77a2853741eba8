//! A server, and a peer that writes its frames by hand.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use pollux_amqp::Fields;
use pollux_amqp::endpoint::{Endpoint, Event, Limits, LinkId, OpenOptions};
use pollux_amqp::frame::{self, FrameType, Frames, ProtocolHeader};
use pollux_amqp::performative::{
    Attach, AttachTarget, Begin, Flow, Open, Performative, ReceiverSettleMode, Role, SenderSettleMode,
    Source, Target, Transfer,
};
use pollux_amqp::sasl::ANONYMOUS;

use crate::pair::start;

pub(crate) fn frame(channel: u16, performative: &Performative) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame::write(&mut bytes, FrameType::Amqp, channel, |out| performative.encode(out));
    bytes
}

pub(crate) fn open() -> Performative {
    Performative::Open(Box::new(Open { container_id: "raw".to_owned(), ..Open::default() }))
}

pub(crate) fn begin() -> Begin {
    Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 1000,
        outgoing_window: 1000,
        handle_max: 255,
        offered_capabilities: vec![],
        desired_capabilities: vec![],
        properties: Fields::default(),
    }
}

pub(crate) fn attach(name: &str, handle: u32, role: Role) -> Attach {
    Attach {
        name: name.to_owned(),
        handle,
        role,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Source::at("s")),
        target: Some(AttachTarget::Node(Target::at("t"))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: Some(0),
        max_message_size: None,
        offered_capabilities: vec![],
        desired_capabilities: vec![],
        properties: Fields::default(),
    }
}

pub(crate) fn transfer(id: u32) -> Transfer {
    Transfer {
        handle: 0,
        delivery_id: Some(id),
        delivery_tag: Some(Bytes::from_static(b"t")),
        ..Transfer::default()
    }
}

pub(crate) fn flow() -> Flow {
    Flow { next_incoming_id: Some(0), incoming_window: 1000, outgoing_window: 1000, ..Flow::default() }
}

/// A server that reads what the test writes.
pub(crate) struct Raw {
    pub(crate) now: Instant,
    pub(crate) server: Endpoint,
    input: BytesMut,
}

impl Raw {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = start();
        let server = Endpoint::server(Arc::new(limits), vec![ANONYMOUS], false, now);
        Self { now, server, input: BytesMut::new() }
    }

    /// Both sides have opened.
    pub(crate) fn opened(limits: Limits) -> Self {
        let mut raw = Self::new(limits);
        raw.bytes(&ProtocolHeader::Amqp.bytes());
        raw.say(0, &open());
        assert!(matches!(raw.events()[..], [Event::Opened(_)]));
        raw.server.open(OpenOptions::default());
        raw.server.take_output();
        raw
    }

    /// A session on channel 0.
    pub(crate) fn begun(limits: Limits) -> Self {
        let mut raw = Self::opened(limits);
        raw.say(0, &Performative::Begin(Box::new(begin())));
        raw.events();
        raw.server.take_output();
        raw
    }

    /// A link with handle 0 on which the raw side sends, with `credit`.
    pub(crate) fn attached(limits: Limits, credit: u32) -> (Self, LinkId) {
        let mut raw = Self::begun(limits);
        raw.say(0, &Performative::Attach(Box::new(attach("l", 0, Role::Sender))));
        let [Event::AttachRequested(request)] = &raw.events()[..] else { panic!() };
        assert!(raw.server.accept_attach(request.link, request.agreed()));
        assert!(raw.server.grant(request.link, credit));
        raw.server.take_output();
        (raw, request.link)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.server.receive(&mut self.input, self.now);
    }

    pub(crate) fn say(&mut self, channel: u16, performative: &Performative) {
        let bytes = frame(channel, performative);
        self.bytes(&bytes);
    }

    pub(crate) fn transfer(&mut self, transfer: Transfer, payload: &[u8]) {
        let mut bytes = BytesMut::new();
        frame::write(&mut bytes, FrameType::Amqp, 0, |out| {
            Performative::Transfer(transfer).encode(out);
            out.extend_from_slice(payload);
        });
        self.bytes(&bytes);
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.next_event()).collect()
    }

    /// What the server has said.
    pub(crate) fn said(&mut self) -> Vec<Performative> {
        let mut output = BytesMut::from(&self.server.take_output().unwrap_or_default()[..]);
        if output.starts_with(b"AMQP") {
            ProtocolHeader::take(&mut output).unwrap();
        }
        let frames = std::iter::from_fn(|| Frames::new(u32::MAX).take(&mut output).unwrap());
        let bodies = frames.filter(|frame| frame.kind == FrameType::Amqp && !frame.body.is_empty());
        bodies.map(|frame| Performative::decode(frame.body).unwrap().0).collect()
    }
}
