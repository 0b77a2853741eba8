//! What outlives a device's MQTT connection: its subscriptions, where it connects with `CleanSession` 0 (MQTT-3.1.2-4; Azure
//! article "Communicate with an IoT hub using the MQTT protocol", "Receiving cloud-to-device messages").

use pollux_model::message::MqttSession;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Result};
use pollux_store::{Batch, CommitError, Write};

use super::Hub;
use crate::caller::Caller;
use crate::hub::no_device;

impl Hub {
    /// What the device's last connection left.
    pub async fn mqtt_session(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
    ) -> Result<Option<MqttSession>> {
        caller.require_device(&hub.name, id)?;
        Ok(self.context.store.mqtt_session(&hub.name, &id.to_string()).await?)
    }

    /// Leaves these subscriptions to the next connection, instead of all there were; `None`: nothing.
    pub async fn keep_mqtt_session(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        subscriptions: Option<Vec<(String, u8)>>,
    ) -> Result<()> {
        caller.require_device(&hub.name, id)?;
        let (hub, device) = (hub.name.clone(), id.to_string());
        let write = match subscriptions {
            Some(subscriptions) => {
                let session = Box::new(MqttSession { device, subscriptions });
                Write::PutMqttSession { hub, session }
            }
            None => Write::DeleteMqttSession { hub, device },
        };
        match self.context.store.commit(Batch::from(write)).await {
            Err(CommitError::Expectation { .. }) => Err(no_device(&id.device)),
            done => Ok(done?),
        }
    }
}
