//! Binding ports: every port on every address, or not at all.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// AMQP over TLS, in the order configured.
    pub amqp: Vec<u16>,
    /// AMQP without TLS, on this machine only.
    pub amqp_plain: Vec<u16>,
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
    pub(crate) amqp: Vec<TcpListener>,
    pub(crate) amqp_plain: Vec<TcpListener>,
}

/// Ports of one protocol, and the listeners on them.
type Protocol = (Vec<u16>, Vec<TcpListener>);

/// Binds what is configured.
pub(crate) fn bind(listen: &Listen) -> Result<Bound, ServeError> {
    let addresses = usable(&listen.addresses)?;
    let (https_ports, https) = bind_what_there_is(&addresses, &listen.https)?;
    let (mqtt_ports, mqtt) = bind_ports(&addresses, &listen.mqtt)?;
    let (amqp_ports, amqp) = bind_ports(&addresses, &listen.amqp)?;
    let (plain_ports, amqp_plain) = match loopback(&addresses).as_slice() {
        [] => Protocol::default(),
        // Not worth a refusal to start: another broker may have the port, and few clients ask for it.
        loopback => bind_what_there_is(loopback, &listen.amqp_plain).unwrap_or_else(|error| {
            tracing::warn!("{error}: left out, so UseDevelopmentEmulator=true does not work");
            Protocol::default()
        }),
    };
    let ports = Ports { https: https_ports, mqtt: mqtt_ports, amqp: amqp_ports, amqp_plain: plain_ports };
    Ok(Bound { ports, https, mqtt, amqp, amqp_plain })
}

fn bind_ports(addresses: &[IpAddr], wanted: &[u16]) -> Result<Protocol, ServeError> {
    let mut bound = Protocol::default();
    for port in wanted {
        let (port, listeners) = bind_port(addresses, *port)?;
        bound.0.push(port);
        bound.1.extend(listeners);
    }
    Ok(bound)
}

/// The same, but ports that need a privilege or are in use are left out where there are others.
fn bind_what_there_is(addresses: &[IpAddr], wanted: &[u16]) -> Result<Protocol, ServeError> {
    let (mut bound, mut refused) = (Protocol::default(), None);
    for port in wanted {
        match bind_port(addresses, *port) {
            Ok((port, listeners)) => {
                bound.0.push(port);
                bound.1.extend(listeners);
            }
            Err(error) if is_passing(&error) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if bound.1.is_empty() => return Err(error),
        Some(error) => tracing::warn!("{error}: left out, for there are others"),
        None => {}
    }
    Ok(bound)
}

/// This machine's own addresses: those among the configured ones; where all addresses are listened on, both.
fn loopback(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let own = |address: &IpAddr| match address {
        IpAddr::V4(four) if four.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(six) if six.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => *address,
    };
    addresses.iter().map(own).filter(IpAddr::is_loopback).collect()
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
