//! What a link for events leads to, and whether the peer may.

use std::sync::Arc;

use pollux_model::resource::PolicyRight;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::{Address, Claim, Namespace};

/// An event hub or a part of it, and the right that the link needs.
#[derive(Clone)]
pub(super) struct Entity {
    pub(super) namespace: Arc<Namespace>,
    pub(super) address: Address,
    /// The address as the peer wrote it.
    path: String,
    right: PolicyRight,
}

impl Entity {
    /// Finds it by the address that the peer wrote at this host.
    pub(super) fn find<'c>(
        services: &Services,
        claims: impl Iterator<Item = &'c Claim>,
        host: &str,
        path: &str,
        right: PolicyRight,
    ) -> Result<Self> {
        let address = Address::parse(path)?;
        let namespace = services.events.namespace(host, path).ok_or_else(|| {
            let text = format!("there is no event hubs namespace at '{}'", pollux_model::ids::shown(host));
            Error::new(ErrorCode::EventHubNotFound, text)
        })?;
        let found = Self { namespace: Arc::new(namespace), address, path: path.to_owned(), right };
        found.check(services, claims)?;
        Ok(found)
    }

    /// Whether the link may stay, as things are now.
    pub(super) fn review<'c>(
        &mut self,
        services: &Services,
        claims: impl Iterator<Item = &'c Claim>,
    ) -> Result<()> {
        let gone = "The messaging entity could not be found: it was deleted.";
        let now = services.events.current(&self.namespace);
        self.namespace = Arc::new(now.ok_or_else(|| Error::new(ErrorCode::EventHubNotFound, gone))?);
        self.check(services, claims)
    }

    fn check<'c>(&self, services: &Services, claims: impl Iterator<Item = &'c Claim>) -> Result<()> {
        // First whether the peer may: what there is, is nobody's business who may not.
        services.events.require(&self.namespace, claims, &self.path, self.right)?;
        services.events.event_hub(&self.namespace, &self.address).map(drop)
    }
}
