//! Listeners: TCP and TLS, bounded, drained on shutdown.
//!
//! What a connection speaks is its handler's: [`serve`] accepts, counts, and makes the TLS handshake.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peer::{AnyClient, Peer};

/// Counts connections and refuses those past the bounds.
#[derive(Debug)]
pub struct Gate {
    open: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    /// How many strangers of one address there may be.
    share: usize,
}

/// Connections that have not proved who they are, by address.
#[derive(Debug, Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

impl Gate {
    /// At most this many connections, and of those this many that have not proved who they are; of the latter one
    /// address may have half, so that no single stranger keeps all others out.
    #[must_use]
    pub fn new(connections: usize, unauthenticated: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            open: semaphore(connections),
            unauthenticated: semaphore(unauthenticated),
            strangers: Arc::default(),
            share: unauthenticated.div_ceil(2),
        }
    }

    /// A place for a connection from that address, if there is one.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admission> {
        let open = Arc::clone(&self.open).try_acquire_owned().ok()?;
        let permit = Arc::clone(&self.unauthenticated).try_acquire_owned().ok()?;
        let stranger = Stranger::enter(&self.strangers, network(address), self.share)?;
        Some(Admission { _open: open, pending: Some((permit, stranger)) })
    }
}

/// One address of IPv4; of IPv6 the 64 bits that one customer usually has to himself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// One connection counted among the strangers; gives up its place when dropped.
#[derive(Debug)]
struct Stranger {
    among: Arc<Strangers>,
    network: IpAddr,
}

impl Stranger {
    fn enter(among: &Arc<Strangers>, network: IpAddr, share: usize) -> Option<Self> {
        let mut counts = among.0.lock();
        let count = counts.entry(network).or_default();
        // Whoever is refused here has places already: no entry is left behind.
        if *count >= share {
            return None;
        }
        *count += 1;
        Some(Self { among: Arc::clone(among), network })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.among.0.lock();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// A connection's place among those counted; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    _open: OwnedSemaphorePermit,
    pending: Option<(OwnedSemaphorePermit, Stranger)>,
}

impl Admission {
    /// The peer has proved who it is (or has at least made a whole request): another stranger may come.
    pub fn settled(&mut self) {
        self.pending = None;
    }
}

/// The server's certificate; can be replaced while connections are made. A live connection keeps the one it began with.
pub struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl ServerCertificate {
    /// A chain (leaf first) and its key.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self(RwLock::new(certified(chain, key)?)))
    }

    /// Puts another in its place.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        *self.0.write() = certified(chain, key)?;
        Ok(())
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(Arc::new(certified))
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// TLS 1.2 and 1.3 with session tickets (the Python device SDK speaks 1.2 only), offering these protocols by ALPN. A
/// client that offers none is served all the same. A certificate is asked for and not required.
pub fn tls(certificate: Arc<ServerCertificate>, alpn: &[&str]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(AnyClient::new())
        .with_cert_resolver(certificate);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// With AES-128 before AES-256, whatever the client lists first: a handshake hashes some hundred blocks for its keys, and
/// processors have instructions for SHA-256 that they lack for SHA-384. AES-128-GCM is what every client of TLS 1.3 must know
/// (RFC 8446, section 9.1).
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let short = |suite: &SupportedCipherSuite| {
        use rustls::CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS13_AES_128_GCM_SHA256,
        };
        matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256
                | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    // Stable: otherwise they keep their order.
    provider.cipher_suites.sort_by_key(|suite| !short(suite));
    provider
}

/// What [`serve`] needs beside the listener and the handler.
#[derive(Debug, Clone)]
pub struct Accepting {
    /// How connections are secured.
    pub tls: Arc<ServerConfig>,
    /// Counts them.
    pub gate: Arc<Gate>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Ends accepting. Handlers are given the same token and end by themselves.
    pub shutdown: CancellationToken,
    /// Tracks the connections, to wait for them at the end.
    pub tasks: TaskTracker,
}

/// Accepts connections until shutdown and hands each to `handler` once its TLS handshake is done. Those past the bounds
/// are closed at once.
pub async fn serve<H, F>(listener: TcpListener, accepting: Accepting, handler: H)
where
    H: Fn(TlsStream<TcpStream>, Peer, Admission) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::clone(&accepting.tls));
    let (patience, shutdown) = (accepting.handshake_timeout, accepting.shutdown.clone());
    let secured = move |stream, peer, admission| {
        let (acceptor, handler, shutdown) = (acceptor.clone(), handler.clone(), shutdown.clone());
        async move {
            let handshake = tokio::select! {
                () = shutdown.cancelled() => return,
                handshake = tokio::time::timeout(patience, handshake(&acceptor, stream)) => handshake,
            };
            match handshake {
                Ok(Ok(stream)) => {
                    let peer = Peer::of(peer, stream.get_ref().1);
                    handler(stream, peer, admission).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
            }
        }
    };
    accept(listener, accepting, secured).await;
}

/// The same without TLS. For listeners on this machine's own addresses; a peer that comes from elsewhere all the same is
/// closed at once.
pub async fn serve_plain<H, F>(listener: TcpListener, accepting: Accepting, handler: H)
where
    H: Fn(TcpStream, Peer, Admission) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let near = move |stream: TcpStream, peer: SocketAddr, admission| {
        let handler = handler.clone();
        async move {
            if peer.ip().to_canonical().is_loopback() && stream.set_nodelay(true).is_ok() {
                handler(stream, peer.into(), admission).await;
            }
        }
    };
    accept(listener, accepting, near).await;
}

async fn accept<H, F>(listener: TcpListener, accepting: Accepting, handler: H)
where
    H: Fn(TcpStream, SocketAddr, Admission) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = accepting.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, or a peer that is gone already: neither ends the listener.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(admission) = accepting.gate.admit(peer.ip()) else {
            metrics::counter!("pollux_connections_refused_total").increment(1);
            continue;
        };
        accepting.tasks.spawn(handler(stream, peer, admission));
    }
}

async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    acceptor.accept(stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_keep_all_others_out() {
        let gate = Gate::new(100, 4);
        let admit = |address: &str| gate.admit(address.parse().unwrap());
        let mut first = admit("192.0.2.1").unwrap();
        let second = admit("192.0.2.1").unwrap();
        assert!(admit("::ffff:192.0.2.1").is_none(), "its half of the places is taken");
        let _other = admit("192.0.2.2").unwrap();
        first.settled();
        let _third = admit("192.0.2.1").unwrap();
        drop(second);
        let _net = [admit("2001:db8::1"), admit("2001:db8:0:1::1")];
        assert!(admit("192.0.2.3").is_none(), "all four places are taken");
    }

    #[test]
    fn addresses_are_forgotten_with_their_connections() {
        let gate = Gate::new(100, 4);
        let held = [gate.admit("2001:db8::1".parse().unwrap()), gate.admit("2001:db8::2".parse().unwrap())];
        assert!(gate.admit("2001:db8::3".parse().unwrap()).is_none(), "one network is one stranger");
        drop(held);
        assert!(gate.strangers.0.lock().is_empty());
    }
}
