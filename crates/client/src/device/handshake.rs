//! From nothing to an accepted connection: TCP, TLS, CONNECT, CONNACK.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{Codec, Connect, ConnectAck, ConnectAckReason, LastWill, Packet};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::{ConnectOptions, ConnectTimings, Endpoint};

/// Longest packet taken from a server, in bytes.
const MAX_PACKET: u32 = 4 * 1024 * 1024;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or the name is not known.
    #[error("cannot reach {to}: {error}")]
    Tcp {
        /// Host and port, or the address.
        to: String,
        /// The system's answer.
        error: io::Error,
    },
    /// The host is no name a certificate can carry.
    #[error("'{0}' is not a host name")]
    HostName(String),
    /// The handshake failed: most often a certificate that is not trusted, or not for this name.
    #[error("TLS with {host} failed: {error}")]
    Tls {
        /// The name that was asked for.
        host: String,
        /// The cause.
        error: io::Error,
    },
    /// The server answered the CONNECT with no.
    #[error("refused: {0}")]
    Refused(RefusalCode),
    /// The server closed the connection instead of answering the CONNECT.
    #[error("the server closed the connection without a CONNACK")]
    Closed,
    /// The server answered something else than a CONNACK.
    #[error("the server did not answer with a CONNACK: {0}")]
    Protocol(String),
    /// It took longer than [`ConnectOptions::timeout`].
    #[error("not connected within {0:?}")]
    Timeout(Duration),
}

/// The return codes of CONNACK (MQTT 3.1.1, table 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusalCode {
    /// Return code 1.
    #[error("unacceptable protocol version (1)")]
    ProtocolVersion,
    /// Return code 2.
    #[error("client id rejected (2)")]
    ClientId,
    /// Return code 3.
    #[error("service unavailable (3)")]
    Unavailable,
    /// Return code 4.
    #[error("bad user name or password (4)")]
    UserNameOrPassword,
    /// Return code 5.
    #[error("not authorized (5)")]
    NotAuthorized,
    /// A code the standard does not know.
    #[error("a return code that is not in the standard")]
    Unknown,
}

/// An accepted connection.
pub(super) struct Connected {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) codec: Codec,
    /// What came behind the CONNACK.
    pub(super) received: BytesMut,
    pub(super) timings: ConnectTimings,
    pub(super) session_present: bool,
}

/// Connects within the timeout of `options`.
pub(super) async fn connect(endpoint: &Endpoint, options: ConnectOptions) -> Result<Connected, ConnectError> {
    let timeout = options.timeout;
    tokio::time::timeout(timeout, attempt(endpoint, options))
        .await
        .map_err(|_| ConnectError::Timeout(timeout))?
}

async fn attempt(endpoint: &Endpoint, options: ConnectOptions) -> Result<Connected, ConnectError> {
    let start = Instant::now();
    let tcp = open(endpoint).await?;
    let tcp_done = Instant::now();
    let host = &endpoint.host;
    let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::HostName(host.clone()))?;
    let mut stream = TlsConnector::from(endpoint.tls.clone())
        .connect(name, tcp)
        .await
        .map_err(|error| ConnectError::Tls { host: host.clone(), error })?;
    let tls_done = Instant::now();
    let mut codec = Codec::new(MAX_PACKET);
    let mut bytes = BytesMut::new();
    let invalid = |error: &dyn std::fmt::Display| ConnectError::Protocol(error.to_string());
    codec.encode(packet(options), &mut bytes).map_err(|error| invalid(&error))?;
    let lost = |error| ConnectError::Tls { host: host.clone(), error };
    stream.write_all(&bytes).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    bytes.clear();
    let ack = loop {
        match codec.decode(&mut bytes).map_err(|error| invalid(&error))? {
            Some((Packet::ConnectAck(ack), _)) => break ack,
            Some(_) => return Err(ConnectError::Protocol("another packet came first".to_owned())),
            None if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 => {
                return Err(ConnectError::Closed);
            }
            None => {}
        }
    };
    accepted(ack)?;
    let timings =
        ConnectTimings { tcp: tcp_done - start, tls: tls_done - tcp_done, connack: tls_done.elapsed() };
    Ok(Connected { stream, codec, received: bytes, timings, session_present: ack.session_present })
}

async fn open(endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
    let opened = match endpoint.address {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await,
    };
    // Small packets that someone waits for: never hold them back.
    opened.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)).map_err(|error| {
        let by_name = || format!("{}:{}", endpoint.host, endpoint.port);
        ConnectError::Tcp { to: endpoint.address.map_or_else(by_name, |address| address.to_string()), error }
    })
}

fn packet(options: ConnectOptions) -> Packet {
    Packet::from(Connect {
        client_id: options.client_id.into(),
        username: options.username.map(Into::into),
        password: options.password.map(Bytes::from),
        clean_session: options.clean_session,
        keep_alive: options.keep_alive,
        last_will: options.will.map(|(topic, message)| LastWill {
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: topic.into(),
            message,
        }),
        ..Connect::default()
    })
}

const fn accepted(ack: ConnectAck) -> Result<(), ConnectError> {
    Err(ConnectError::Refused(match ack.return_code {
        ConnectAckReason::ConnectionAccepted => return Ok(()),
        ConnectAckReason::UnacceptableProtocolVersion => RefusalCode::ProtocolVersion,
        ConnectAckReason::IdentifierRejected => RefusalCode::ClientId,
        ConnectAckReason::ServiceUnavailable => RefusalCode::Unavailable,
        ConnectAckReason::BadUserNameOrPassword => RefusalCode::UserNameOrPassword,
        ConnectAckReason::NotAuthorized => RefusalCode::NotAuthorized,
        ConnectAckReason::Reserved => RefusalCode::Unknown,
    }))
}
