//! What the dispatcher found out before a service's router sees a request; beside it is the [`Peer`](crate::peer::Peer).

use std::sync::Arc;

use pollux_model::resource::Resource;

/// The resource a request is for, by its host name (a request extension).
#[derive(Debug, Clone)]
pub struct Target(pub Arc<Resource>);
