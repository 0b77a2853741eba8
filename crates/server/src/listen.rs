//! Binding ports: every port on every address, or not at all.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::config::Listen;
use crate::error::ServeError;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How often another free port is tried when the one found is taken on a further address.
const TRIES: usize = 16;

/// The ports that are listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// HTTPS, in the order configured.
    pub https: Vec<u16>,
    /// MQTT, in the order configured.
    pub mqtt: Vec<u16>,
}

impl Ports {
    /// The HTTPS port in URLs that are handed out: the last one, for the first may be the privileged 443, which not
    /// every start gets.
    #[must_use]
    pub fn main(&self) -> u16 {
        self.https.last().copied().unwrap_or(443)
    }
}

/// Bound listeners.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) ports: Ports,
    pub(crate) https: Vec<TcpListener>,
    pub(crate) mqtt: Vec<TcpListener>,
}

/// Binds what is configured.
pub(crate) fn bind(listen: &Listen) -> Result<Bound, ServeError> {
    let addresses = usable(&listen.addresses)?;
    let (mut https, mut https_ports) = (Vec::new(), Vec::new());
    let mut refused = None;
    for port in &listen.https {
        match bind_port(&addresses, *port) {
            Ok((port, listeners)) => {
                https_ports.push(port);
                https.extend(listeners);
            }
            Err(error) if is_passing(&error) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if https.is_empty() => return Err(error),
        Some(error) => tracing::warn!("{error}: left out, for there are others"),
        None => {}
    }
    let (mut mqtt, mut mqtt_ports) = (Vec::new(), Vec::new());
    for port in &listen.mqtt {
        let (port, listeners) = bind_port(&addresses, *port)?;
        mqtt_ports.push(port);
        mqtt.extend(listeners);
    }
    Ok(Bound { ports: Ports { https: https_ports, mqtt: mqtt_ports }, https, mqtt })
}

/// Addresses this machine has. IPv6 is missing in many containers: that is said, not refused.
fn usable(addresses: &[IpAddr]) -> Result<Vec<IpAddr>, ServeError> {
    let mut usable = Vec::new();
    let mut refused = None;
    for address in addresses {
        match listener(*address, 0) {
            Ok(_) => usable.push(*address),
            Err(source) => {
                tracing::warn!(%address, error = %source, "this address cannot be listened on: left out");
                refused = Some(ServeError::Listen { address: address.to_string(), source });
            }
        }
    }
    match refused {
        Some(error) if usable.is_empty() => Err(error),
        _ => Ok(usable),
    }
}

fn bind_port(addresses: &[IpAddr], port: u16) -> Result<(u16, Vec<TcpListener>), ServeError> {
    for _ in 1..TRIES {
        match bind_all(addresses, port) {
            Err(ServeError::Listen { source, .. })
                if port == 0 && source.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    bind_all(addresses, port)
}

fn bind_all(addresses: &[IpAddr], mut port: u16) -> Result<(u16, Vec<TcpListener>), ServeError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let failed =
            |source| ServeError::Listen { address: SocketAddr::new(*address, port).to_string(), source };
        let bound = listener(*address, port).map_err(failed)?;
        port = bound.local_addr().map_err(failed)?.port();
        listeners.push(bound);
    }
    Ok((port, listeners))
}

fn listener(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(address, port))?;
    socket.listen(BACKLOG)
}

fn is_passing(error: &ServeError) -> bool {
    let ServeError::Listen { source, .. } = error else { return false };
    matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse)
}
