//! The limit: rustls on tokio and nothing else. Accepts, shakes hands, echoes, and holds the connection until it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use pollux_client::tls;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::pki::Authority;
use crate::process;
use crate::subject::beside;

/// What is echoed.
const ECHO: [u8; 64] = [42; 64];
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves until killed; the first line of output says where, and what to trust. With the key of an authority: those who
/// show a certificate of it, verified, and nobody else.
pub(crate) async fn serve(authority: Option<&str>) -> Result<()> {
    let listener = listen()?;
    let acceptor = begin(listener.local_addr()?, authority)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        // What goes wrong with one connection is that connection's end.
        tokio::spawn(async move { echo(acceptor, stream).await.ok() });
    }
}

/// Makes a certificate, and says in a line of output where it serves and what to trust.
pub(crate) fn begin(address: SocketAddr, authority: Option<&str>) -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match authority {
        None => builder.with_no_client_auth(),
        Some(key) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(Authority::of(key)?.pem().as_bytes())?)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(vec![made.cert.der().clone()], key)?;
    let ready = json!({ "port": address.port(), "ca": made.cert.pem() });
    writeln!(std::io::stdout(), "{ready}")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Runs this program as such a server, pinned like the subject; gives where it serves and whom to trust, in PEM.
pub(crate) fn spawn(arguments: &[&str]) -> Result<(Child, SocketAddr, String)> {
    let own = std::env::current_exe()?;
    let name = own.file_name().and_then(|name| name.to_str()).context("this program has no name")?;
    let mut command = process::pinned(&beside(name)?);
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("stdout was asked to be piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("the bare server did not start")?;
    let port = u16::try_from(ready["port"].as_u64().context("no port")?)?;
    let ca = ready["ca"].as_str().context("no certificate")?.to_owned();
    Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ca))
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
    mutual: Option<Mutual>,
}

/// What it wants to see, and whom its clients trust.
#[derive(Debug)]
struct Mutual {
    authority: Authority,
    ca_pem: String,
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
        let (child, address, ca) = spawn(&["--bare-tls"])?;
        let connector = Connector(TlsConnector::from(tls::client_config(&ca)?));
        Ok(Self { child, address, connector, mutual: None })
    }

    /// Starts one that wants certificates; each connection shows one of its own.
    pub(crate) fn start_mutual() -> Result<Self> {
        let authority = Authority::new()?;
        let (child, address, ca_pem) = spawn(&["--bare-mutual-tls", &authority.key_pem()])?;
        let connector = Connector(TlsConnector::from(tls::client_config(&ca_pem)?));
        Ok(Self { child, address, connector, mutual: Some(Mutual { authority, ca_pem }) })
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
        let connector = match &self.mutual {
            None => self.connector.0.clone(),
            Some(Mutual { authority, ca_pem }) => {
                let (chain, key) = authority.leaf("bare")?;
                TlsConnector::from(tls::client_config_with_identity(ca_pem, &chain, &key)?)
            }
        };
        let mut stream = connector.connect(name, stream).await?;
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
