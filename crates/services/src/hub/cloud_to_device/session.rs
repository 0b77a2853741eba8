//! What outlives a device's MQTT connection: its subscriptions, where it connects with `CleanSession` 0 (MQTT-3.1.2-4; Azure
//! article "Communicate with an IoT hub using the MQTT protocol", "Receiving cloud-to-device messages").

use pollux_model::message::MqttSession;
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Result};
use pollux_store::{Batch, Write};

use super::Hub;
use crate::caller::Caller;

impl Hub {
    /// What the device's last connection left.
    pub async fn mqtt_session(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
    ) -> Result<Option<MqttSession>> {
        caller.require_device(&hub.name, id)?;
        Ok(self.context.store.mqtt_session(&hub.name, id).await?)
    }

    /// Leaves these subscriptions to the next connection, instead of all there were; `None`: nothing.
    pub async fn keep_mqtt_session(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceId,
        subscriptions: Option<Vec<(String, u8)>>,
    ) -> Result<()> {
        caller.require_device(&hub.name, id)?;
        let (hub, device) = (hub.name.clone(), id.clone());
        let write = match subscriptions {
            Some(subscriptions) => {
                let session = Box::new(MqttSession { device, subscriptions });
                Write::PutMqttSession { hub, session }
            }
            None => Write::DeleteMqttSession { hub, device },
        };
        Ok(self.context.store.commit(Batch::from(write)).await?)
    }
}
