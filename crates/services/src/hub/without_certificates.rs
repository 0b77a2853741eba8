//! A device whose hub is to know certificates of it no longer: planned here, committed there, in one batch.

use pollux_model::device::Authentication;
use pollux_model::registration::IssuedCertificate;
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Result};
use pollux_store::{Expect, Write};

use super::Hub;

impl Hub {
    /// The write, if the device is there and is known by one of these.
    pub(crate) async fn without_certificates(
        &self,
        hub: &Resource,
        id: &DeviceId,
        gone: &[IssuedCertificate],
    ) -> Result<Option<Write>> {
        let Some(mut device) = self.context.store.device(&hub.name, id).await? else { return Ok(None) };
        let Authentication::SelfSigned { primary, secondary } = &mut device.identity.authentication else {
            return Ok(None);
        };
        let stays = |known: &String| !gone.iter().any(|one| one.thumbprint == *known);
        let before = (primary.clone(), secondary.clone());
        let mut left = [primary.take(), secondary.take()].into_iter().flatten().filter(stays);
        (*primary, *secondary) = (left.next(), left.next());
        drop(left);
        if before == (primary.clone(), secondary.clone()) {
            return Ok(None);
        }
        let (identity, twin) =
            (Expect::Etag(device.identity.etag.clone()), Expect::Etag(device.twin.etag.clone()));
        device.identity.etag = self.identity_etag();
        Ok(Some(Write::PutDevice { hub: hub.name.clone(), device: Box::new(device), identity, twin }))
    }
}
