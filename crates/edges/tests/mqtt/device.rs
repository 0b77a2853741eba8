//! A device: the codec at one end of a pipe.

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pollux_mqtt::ByteString;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{Codec, Connect, Packet, SubscribeReturnCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::codec::{Decoder as _, Encoder as _};

pub(crate) struct Device {
    stream: DuplexStream,
    codec: Codec,
    input: BytesMut,
    last_id: u16,
    /// What the last CONNACK said.
    pub(crate) session_present: bool,
}

impl Device {
    pub(crate) fn new(stream: DuplexStream) -> Self {
        Self { stream, codec: Codec::new(0), input: BytesMut::new(), last_id: 0, session_present: false }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The other side may have closed already.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn send(&mut self, packets: impl IntoIterator<Item = Packet>) {
        let mut bytes = BytesMut::new();
        for packet in packets {
            self.codec.encode(packet, &mut bytes).unwrap();
        }
        self.raw(&bytes).await;
    }

    /// The next packet; none when the connection was closed.
    pub(crate) async fn recv(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.input).unwrap() {
                return Some(packet);
            }
            let read = self.stream.read_buf(&mut self.input);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await.expect("nothing came");
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    /// Skips what comes until the connection is closed.
    pub(crate) async fn closed(&mut self) {
        while self.recv().await.is_some() {}
    }

    /// Sends a CONNECT; the return code of the CONNACK.
    pub(crate) async fn connect(&mut self, connect: Connect) -> u8 {
        self.send([Packet::from(connect)]).await;
        match self.recv().await {
            Some(Packet::ConnectAck(ack)) => {
                self.session_present = ack.session_present;
                ack.return_code.into()
            }
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    /// The next packet id.
    fn id(&mut self) -> NonZeroU16 {
        self.last_id += 1;
        NonZeroU16::new(self.last_id).unwrap()
    }

    /// A PUBLISH at QoS 1 and its id.
    pub(crate) fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> (Packet, NonZeroU16) {
        let id = self.id();
        (packet(topic, payload.into(), Some(id)), id)
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub(crate) async fn acknowledged(&mut self, topic: &str, payload: impl Into<Bytes>) {
        let (packet, id) = self.publish(topic, payload);
        self.send([packet]).await;
        match self.recv().await {
            Some(Packet::PublishAck { packet_id }) => assert_eq!(packet_id, id),
            other => panic!("no PUBACK but {other:?}"),
        }
    }

    /// Publishes at QoS 0.
    pub(crate) async fn forget(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.send([packet(topic, payload.into(), None)]).await;
    }

    /// Subscribes at QoS 0; whether it was granted.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> bool {
        self.subscribe_at(filter, QoS::AtMostOnce).await
    }

    /// Subscribes; whether it was granted.
    pub(crate) async fn subscribe_at(&mut self, filter: &str, qos: QoS) -> bool {
        let packet_id = self.id();
        let topic_filters = vec![(filter.into(), qos)];
        self.send([Packet::Subscribe { packet_id, topic_filters }]).await;
        match self.recv().await {
            Some(Packet::SubscribeAck { status, .. }) => {
                !matches!(status[..], [SubscribeReturnCode::Failure])
            }
            other => panic!("no SUBACK but {other:?}"),
        }
    }

    /// The next message: topic and payload.
    pub(crate) async fn message(&mut self) -> (String, Bytes) {
        match self.recv().await {
            Some(Packet::Publish(publish)) => (publish.topic.to_string(), publish.payload),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next message that wants to be acknowledged: its id, topic and payload.
    pub(crate) async fn delivery(&mut self) -> (NonZeroU16, String, Bytes) {
        match self.recv().await {
            Some(Packet::Publish(publish)) => {
                let id = publish.packet_id.expect("of QoS 1");
                (id, publish.topic.to_string(), publish.payload)
            }
            other => panic!("no message but {other:?}"),
        }
    }

    /// Acknowledges one.
    pub(crate) async fn puback(&mut self, packet_id: NonZeroU16) {
        self.send([Packet::PublishAck { packet_id }]).await;
    }

    /// Asks at QoS 0 and waits for the answer.
    pub(crate) async fn ask(
        &mut self,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> (String, serde_json::Value) {
        self.forget(topic, payload).await;
        let (topic, body) = self.message().await;
        let body =
            if body.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (topic, body)
    }
}

pub(crate) fn packet(topic: &str, payload: Bytes, packet_id: Option<NonZeroU16>) -> Packet {
    Packet::from(Publish {
        dup: false,
        retain: false,
        qos: if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
        topic: ByteString::from(topic),
        packet_id,
        payload,
        properties: None,
    })
}
