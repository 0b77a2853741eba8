//! What clients say, by our own encoder: where fuzzing begins.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{Endpoint, Event, Limits, LinkOptions, OpenOptions, Outgoing};
use pollux_amqp::frame::{FrameType, Frames, ProtocolHeader};
use pollux_amqp::performative::{DeliveryState, Source, Target};
use pollux_amqp::sasl::{Code, Credentials, MSSBCBS, PLAIN};
use pollux_amqp::{ApplicationProperties, Body, Header, Message, MessageId, Properties, Symbol, Value};

/// The seeds of each target of `targets.rs`. Of `now` nothing depends.
pub(crate) fn all(now: Instant) -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds: Vec<_> = messages().into_iter().map(|message| ("message", message.to_vec())).collect();
    let credentials = [Credentials::Cbs, Credentials::Plain { user: "u".into(), password: "p".into() }];
    for [client, server] in credentials.map(|credentials| talk(credentials, now)) {
        for stream in [&client, &server] {
            // The first byte says how the stream is cut.
            seeds.push(("frame", [&[7], &stream[..]].concat()));
            for (kind, body) in frames(stream) {
                let target = if kind == FrameType::Amqp { "performative" } else { "sasl" };
                seeds.push((target, body.to_vec()));
            }
        }
        seeds.extend([2, 51, 255].map(|chunk| ("endpoint", [&[chunk], &client[..]].concat())));
    }
    seeds
}

fn messages() -> Vec<Bytes> {
    let symbol = Symbol::from_static;
    let properties = Properties {
        message_id: Some(MessageId::Binary(vec![1; 16].into())),
        correlation_id: Some(MessageId::String("c".to_owned())),
        content_type: Some(symbol("application/json")),
        to: Some("there".to_owned()),
        ..Properties::default()
    };
    let mut full = Message {
        header: Some(Header::default()),
        properties: Some(properties),
        application_properties: ApplicationProperties(vec![
            ("text".to_owned(), "x".into()),
            ("number".to_owned(), Value::Long(7)),
            ("list".to_owned(), Value::List(vec![Value::Null, Value::Bool(true), Value::Double(1.5)])),
            ("map".to_owned(), Value::Map(vec![("k".into(), Value::Timestamp(1))])),
        ]),
        body: Body::data("{\"Temperature\": 21.5}"),
        ..Message::default()
    };
    full.message_annotations.push(symbol("x-opt-partition-key"), "key");
    full.delivery_annotations.push(symbol("last_enqueued_offset"), "12");
    full.footer.push(symbol("f"), Value::Uint(0));
    let body = |body| Message { body, ..Message::default() }.encode();
    let inner = vec![full.encode(), body(Body::data("second"))];
    vec![
        full.encode(),
        body(Body::Data(inner)),
        body(Body::Value(Value::Map(vec![("status".into(), Value::Int(200))]))),
        body(Body::Sequence(vec![vec![Value::Ubyte(1)], vec![]])),
        Bytes::new(),
    ]
}

/// What a client and a server say to each other: from the headers to the close, with a message in each direction.
fn talk(credentials: Credentials, now: Instant) -> [Vec<u8>; 2] {
    let limits = Arc::new(Limits::default());
    let host = Some("localhost".to_owned());
    let mut client = Endpoint::client(Arc::clone(&limits), Some(credentials), host, now);
    let mut server = Endpoint::server(limits, vec![MSSBCBS, PLAIN], false, now);
    client.open(OpenOptions { container_id: "client".to_owned(), ..OpenOptions::default() });
    let mut said = [Vec::new(), Vec::new()];
    carry(&mut client, &mut server, &mut said, now);
    let options = || LinkOptions {
        source: Some(Source::at("hub1/ConsumerGroups/$Default/Partitions/0")),
        target: Some(Target::at("hub1")),
        ..LinkOptions::default()
    };
    let session = client.begin_session().expect("there is room for a session");
    carry(&mut client, &mut server, &mut said, now);
    client.attach_sender(session, "up", options()).expect("there is room for a link");
    let down = client.attach_receiver(session, "down", options()).expect("there is room for a link");
    client.grant(down, 10);
    carry(&mut client, &mut server, &mut said, now);
    client.close(None, now);
    carry(&mut client, &mut server, &mut said, now);
    said
}

/// Until neither has anything more to say.
fn carry(client: &mut Endpoint, server: &mut Endpoint, said: &mut [Vec<u8>; 2], now: Instant) {
    let mut wires = [BytesMut::new(), BytesMut::new()];
    loop {
        let mut any = false;
        for side in 0..2 {
            let (from, to) =
                if side == 0 { (&mut *client, &mut *server) } else { (&mut *server, &mut *client) };
            if let Some(output) = from.take_output() {
                said[side].extend_from_slice(&output);
                wires[side].extend_from_slice(&output);
                any = true;
            }
            to.receive(&mut wires[side], now);
            while let Some(event) = to.next_event() {
                any = true;
                answer(to, event);
            }
        }
        if !any {
            return;
        }
    }
}

fn answer(endpoint: &mut Endpoint, event: Event) {
    match event {
        Event::Sasl(_) => {
            endpoint.sasl_outcome(Code::Ok);
        }
        // Of no effect at the client, which has said it first.
        Event::Opened(_) => endpoint.open(OpenOptions::default()),
        Event::AttachRequested(attached) => {
            endpoint.accept_attach(attached.link, attached.agreed());
            endpoint.grant(attached.link, 10);
        }
        Event::Credit { link, .. } => {
            let payload = messages().swap_remove(0);
            // One more than there is credit for, or none at all: it is but a seed.
            let _ = endpoint.send(link, Outgoing { tag: b"1", message_format: 0, payload, settled: false });
        }
        Event::Delivery(delivery) => {
            endpoint.settle(delivery.link, delivery.id, DeliveryState::Accepted);
        }
        _ => {}
    }
}

fn frames(stream: &[u8]) -> Vec<(FrameType, Bytes)> {
    let (mut input, mut found) = (BytesMut::from(stream), Vec::new());
    loop {
        if let Ok(Some(_)) = ProtocolHeader::take(&mut input) {
            continue;
        }
        match Frames::new(u32::MAX).take(&mut input) {
            Ok(Some(frame)) => found.push((frame.kind, frame.body)),
            Ok(None) | Err(_) => return found,
        }
    }
}
