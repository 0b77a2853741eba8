//! An MQTT server over TLS, whose behaviour is a closure on the events of our own state machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pollux_client::{Endpoint, tls};
use pollux_mqtt::{Connection, Event, Limits, QoS};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A TLS identity for `localhost` and the PEM text that trusts it.
pub(crate) fn identity() -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

pub(crate) fn endpoint(address: std::net::SocketAddr, ca: &str) -> Endpoint {
    let tls = tls::client_config(ca).unwrap();
    Endpoint { host: "localhost".to_owned(), port: 1, address: Some(address), tls }
}

/// Starts a server; each connection gets a clone of `behave`, which sees every event and may answer at once. Every
/// event also comes out of the receiver. Returning false closes the connection.
pub(crate) async fn start<F>(behave: F) -> (Endpoint, mpsc::Receiver<Event>)
where
    F: FnMut(&mut Connection, &Event) -> bool + Clone + Send + 'static,
{
    let (config, ca) = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap(), &ca);
    let (seen, events) = mpsc::channel(10_000);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(TlsAcceptor::from(Arc::clone(&config)), tcp, behave.clone(), seen.clone()));
        }
    });
    (endpoint, events)
}

async fn serve<F>(acceptor: TlsAcceptor, tcp: tokio::net::TcpStream, mut behave: F, seen: mpsc::Sender<Event>)
where
    F: FnMut(&mut Connection, &Event) -> bool,
{
    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
    let mut server = Connection::new(Arc::new(Limits::default()), Duration::ZERO);
    let mut bytes = BytesMut::new();
    loop {
        server.receive(&mut bytes, Duration::ZERO);
        let mut idle = true;
        while let Some(event) = server.poll_event() {
            idle = false;
            let go_on = behave(&mut server, &event);
            seen.send(event).await.unwrap();
            if !go_on {
                return;
            }
        }
        if let Some(output) = server.take_output()
            && (stream.write_all(&output).await.is_err() || stream.flush().await.is_err())
        {
            return;
        }
        if server.is_closed() || idle && !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

/// Accepts everybody, grants and acknowledges everything.
pub(crate) fn agreeable(server: &mut Connection, event: &Event) -> bool {
    match event {
        Event::Connect(_) => server.accept(false, Duration::ZERO),
        Event::Publish(message) => {
            if let Some(packet_id) = message.packet_id {
                server.ack_publish(packet_id);
            }
        }
        Event::Subscribe { packet_id, filters } => {
            let granted: Vec<_> = filters.iter().map(|(_, qos)| Some(*qos)).collect();
            server.suback(*packet_id, &granted);
        }
        Event::Unsubscribe { packet_id, .. } => server.unsuback(*packet_id),
        Event::PubAck(_) | Event::Disconnect | Event::Violation(_) => {}
    }
    true
}

/// Sends `body` to the client with QoS 1.
pub(crate) fn tell(server: &mut Connection, topic: String, body: &str) {
    server.publish(topic, body.to_owned(), QoS::AtLeastOnce).unwrap();
}

/// The request id at the end of `topic`.
pub(crate) fn request_id(topic: &str) -> &str {
    topic.split_once("$rid=").unwrap().1.split('&').next().unwrap()
}
