//! The client against the server's end of the protocol machine, in memory.

use bytes::BytesMut;
use pollux_amqp::endpoint::{Endpoint as Machine, Event, Limits, LinkId, Outgoing};
use pollux_amqp::sasl::{Code, PLAIN};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::*;

/// A server that agrees to everything and sends so many events on each link, as credit allows.
async fn serve(mut stream: DuplexStream, events: u32) {
    let now = || Instant::now().into_std();
    let mut machine = Machine::server(Arc::new(Limits::default()), vec![PLAIN], true, now());
    let (mut input, mut links) = (BytesMut::new(), Vec::<(LinkId, u32)>::new());
    loop {
        machine.receive(&mut input, now());
        while let Some(event) = machine.next_event() {
            match event {
                Event::Sasl(_) => drop(machine.sasl_outcome(Code::Ok)),
                Event::Opened(_) => machine.open(Default::default()),
                Event::AttachRequested(asked) => {
                    machine.accept_attach(asked.link, asked.agreed());
                    links.push((asked.link, 0));
                }
                _ => {}
            }
        }
        for (link, sent) in &mut links {
            while *sent < events {
                let message = Message { body: Body::data(sent.to_string()), ..Message::default() };
                let (tag, payload) = (sent.to_be_bytes(), message.encode());
                let outgoing = Outgoing { tag: &tag, message_format: 0, payload, settled: true };
                if machine.send(*link, outgoing).is_err() {
                    break;
                }
                *sent += 1;
            }
        }
        if let Some(output) = machine.take_output() {
            stream.write_all(&output).await.unwrap();
        } else if machine.is_closed() || stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn who_takes_nothing_for_a_while_gets_the_rest_later() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let all = INCOMING * 4;
    let server = tokio::spawn(serve(theirs, all));
    let (commands, asked) = mpsc::channel(COMMANDS);
    let (ready, is_ready) = oneshot::channel();
    let policy = "Endpoint=sb://x/;SharedAccessKeyName=u;SharedAccessKey=cGFzcw==".parse().unwrap();
    tokio::spawn(Driver::new(&policy, "x", asked, ready).run(ours));
    is_ready.await.unwrap().unwrap();
    let hubs = EventHubs { commands };
    let mut events = hubs.receive("hub", "$Default", "0", None).await.unwrap();
    while events.len() < INCOMING as usize {
        tokio::task::yield_now().await;
    }
    for number in 0..all {
        let event = events.recv().await.unwrap().unwrap();
        assert_eq!(event.body.as_bytes().unwrap(), number.to_string().as_bytes());
    }
    hubs.close().await;
    server.await.unwrap();
}
