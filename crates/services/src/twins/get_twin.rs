//! One twin.

use pollux_model::digital_twin::DigitalTwin;
use pollux_model::{ResourceName, Result};

use super::Twins;
use crate::{Caller, Right};

impl Twins {
    /// One twin.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`].
    pub async fn get_twin(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<DigitalTwin> {
        self.authorize(caller, instance, Right::TwinsRead)?;
        self.read_twin(instance, id).await
    }
}
