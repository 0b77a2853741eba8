//! The limit: rustls on tokio and nothing else. Accepts, shakes hands, echoes, and holds the connection until it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::process;
use crate::subject::beside;

/// What is echoed.
const ECHO: [u8; 64] = [42; 64];
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves until killed; the first line of output says where, and what to trust.
pub(crate) async fn serve() -> Result<()> {
    let listener = listen()?;
    let acceptor = begin(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        // What goes wrong with one connection is that connection's end.
        tokio::spawn(async move { echo(acceptor, stream).await.ok() });
    }
}

/// Makes a certificate, and says in a line of output where it serves and what to trust.
pub(crate) fn begin(address: SocketAddr) -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let ready = json!({ "port": address.port(), "ca": made.cert.pem() });
    writeln!(std::io::stdout(), "{ready}")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Runs this program as such a server, pinned like the subject; gives where it serves and whom to trust.
pub(crate) fn spawn(argument: &str) -> Result<(Child, SocketAddr, Arc<ClientConfig>)> {
    let own = std::env::current_exe()?;
    let name = own.file_name().and_then(|name| name.to_str()).context("this program has no name")?;
    let mut command = process::pinned(&beside(name)?);
    let mut child = command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("stdout was asked to be piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("the bare server did not start")?;
    let port = u16::try_from(ready["port"].as_u64().context("no port")?)?;
    let config = pollux_client::tls::client_config(ready["ca"].as_str().context("no certificate")?)?;
    Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), config))
}

fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket.listen(BACKLOG)?)
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = [0; ECHO.len()];
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// The bare server as a process, pinned like the subject.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    address: SocketAddr,
    connector: Connector,
}

/// How clients shake hands with it.
#[derive(Clone)]
struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Bare {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let (child, address, config) = spawn("--bare-tls")?;
        Ok(Self { child, address, connector: Connector(TlsConnector::from(config)) })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects, shakes hands, and has a few bytes echoed.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("a name")?;
        let mut stream = self.connector.0.connect(name, stream).await?;
        stream.write_all(&ECHO).await?;
        // Without it, the last of what was written may stay in the session.
        stream.flush().await?;
        let mut buffer = [0; ECHO.len()];
        stream.read_exact(&mut buffer).await?;
        Ok(stream)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
