//! What the dispatcher found out before a service's router sees a request.

use std::net::SocketAddr;
use std::sync::Arc;

use pollux_model::resource::Resource;

/// The resource a request is for, by its host name (a request extension).
#[derive(Debug, Clone)]
pub struct Target(pub Arc<Resource>);

/// Where a request comes from (a request extension).
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);
