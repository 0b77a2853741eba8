//! Handshakes, patience, bounds, draining.

use std::sync::Arc;
use std::time::Duration;

use pollux_testkit::TestServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough for any machine; a test that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(
    server: &TestServer,
    port: u16,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// Whether the server closes the connection by itself.
async fn is_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let mut rest = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await {
        Ok(Ok(read)) => read == 0,
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}

#[tokio::test]
async fn both_versions_on_both_ports_and_every_name() {
    let server = TestServer::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for port in [server.https_port(), server.mqtt_port()] {
            for name in ["localhost", "127.0.0.1", "::1", "hub1.localhost", "twins1.localhost"] {
                let stream = connect(&server, port, name, version).await.unwrap();
                assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            }
        }
    }
    let stranger = connect(&server, server.https_port(), "example.com", &rustls::version::TLS13).await;
    assert!(stranger.is_err(), "the certificate does not bear that name");
}

#[tokio::test]
async fn a_new_resources_name_is_certified_at_once() {
    let server = TestServer::start().await;
    let name = "hub9.example.com";
    let hub = serde_json::json!({ "name": "hub9", "hostName": name });
    let created = server.http().post(format!("{}/admin/resources/hub", server.url()));
    let created = created.bearer_auth(server.connections().admin.key).json(&hub).send().await.unwrap();
    assert_eq!(created.status(), 201);
    let certified = async {
        while connect(&server, server.https_port(), name, &rustls::version::TLS13).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, certified)
        .await
        .expect("the certificate is replaced while the server runs");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let server = TestServer::start_with(|config| config.limits.handshake_timeout_seconds = 1).await;
    for port in [server.https_port(), server.mqtt_port()] {
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(is_closed(&mut silent).await, "no handshake");
        let mut garbage = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        garbage.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, garbage.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_err() || !answer.starts_with(b"HTTP"), "plain text is no TLS");
        let mut idle = connect(&server, port, "localhost", &rustls::version::TLS13).await.unwrap();
        assert!(is_closed(&mut idle).await, "a handshake and no word after it");
    }
    let mut slow = connect(&server, server.https_port(), "localhost", &rustls::version::TLS13).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.unwrap();
    assert!(is_closed(&mut slow).await, "a head that does not end");
}

#[tokio::test]
async fn strangers_are_bounded_and_make_room_when_they_leave() {
    // One address gets half of the places.
    let server = TestServer::start_with(|config| config.limits.unauthenticated_connections = 4).await;
    let port = server.https_port();
    let first = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let second = connect(&server, port, "localhost", &rustls::version::TLS13).await.unwrap();
    let mut third = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(is_closed(&mut third).await, "two are in already");
    drop((first, second));
    let again = async {
        loop {
            if let Ok(stream) = connect(&server, port, "localhost", &rustls::version::TLS13).await {
                return stream;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is room again");
}

#[tokio::test]
async fn open_connections_are_bounded() {
    let server = TestServer::start_with(|config| config.limits.connections = 1).await;
    let port = server.https_port();
    let mut only = connect(&server, port, "localhost", &rustls::version::TLS13).await.unwrap();
    only.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    only.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(is_closed(&mut other).await);
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_the_ports() {
    let server = TestServer::start().await;
    let port = server.https_port();
    let mut idle = connect(&server, port, "localhost", &rustls::version::TLS13).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    let folder = tokio::time::timeout(PATIENCE, server.stop()).await.expect("it stops");
    let mut rest = Vec::new();
    // Closed, politely or not.
    let _ = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    drop(folder);
}
