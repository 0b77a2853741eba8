//! Messages of hubs as `CloudEvents` 1.0: what Event Grid makes of them (Azure article "Azure IoT Hub as an Event Grid source", "Cloud
//! event schema"). Of what Event Grid has no event for, the data is as of telemetry, and the type begins with `Pollux`.

use pollux_eventlog::Record;
use serde_json::{Map, Value, json};

use super::hub_message::{HubMessage, Names, with_member};

/// The event in structured mode; `None` for what no hub wrote. `place` names it together with its place in the partition.
pub(super) fn structured(record: &Record, place: &str, host: &str) -> Option<String> {
    let message = HubMessage::read(record)?;
    let device = message.annotation("iothub-connection-device-id").unwrap_or_default();
    let module = message.annotation("iothub-connection-module-id");
    let subject = match module {
        Some(module) => format!("devices/{device}/modules/{module}"),
        None => format!("devices/{device}"),
    };
    let operation = message.property("opType").unwrap_or_default();
    let source = message.annotation("iothub-message-source").unwrap_or("Telemetry");
    let (kind, data) = match (source, operation) {
        ("Telemetry", _) => ("Microsoft.Devices.DeviceTelemetry", telemetry(&message)),
        (_, "deviceConnected") => ("Microsoft.Devices.DeviceConnected", connection(&message, device, module)),
        (_, "deviceDisconnected") => {
            ("Microsoft.Devices.DeviceDisconnected", connection(&message, device, module))
        }
        (_, "createDeviceIdentity" | "createModuleIdentity") => {
            ("Microsoft.Devices.DeviceCreated", lifecycle(&message, device, module))
        }
        (_, "deleteDeviceIdentity" | "deleteModuleIdentity") => {
            ("Microsoft.Devices.DeviceDeleted", lifecycle(&message, device, module))
        }
        ("twinChangeEvents", _) => ("Pollux.Devices.TwinChanged", telemetry(&message)),
        ("digitalTwinChangeEvents", _) => ("Pollux.Devices.DigitalTwinChanged", telemetry(&message)),
        ("deviceJobLifecycleEvents", _) => ("Pollux.Devices.JobChanged", telemetry(&message)),
        _ => ("Pollux.Devices.Event", telemetry(&message)),
    };
    let attributes = json!({
        "specversion": "1.0",
        "id": format!("{place}/{}/{:x}", record.sequence_number, record.enqueued_time.as_micros()),
        "source": host,
        "type": kind,
        "subject": subject,
        "time": message.enqueued(),
        "datacontenttype": "application/json",
    });
    Some(with_member(&attributes, "data", &data))
}

fn telemetry(message: &HubMessage) -> String {
    let properties: Map<_, _> =
        message.properties().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let system = message.system(Names::EventGrid).into_iter();
    let system: Map<_, _> = system.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    with_member(&json!({"properties": properties, "systemProperties": system}), "body", &message.json_body())
}

fn connection(message: &HubMessage, device: &str, module: Option<&str>) -> String {
    with_member(&whose(message, device, module), "deviceConnectionStateEventInfo", &message.json_body())
}

fn lifecycle(message: &HubMessage, device: &str, module: Option<&str>) -> String {
    with_member(&whose(message, device, module), "twin", &message.json_body())
}

fn whose(message: &HubMessage, device: &str, module: Option<&str>) -> Value {
    let mut whose = json!({"hubName": message.property("hubName"), "deviceId": device});
    if let Some(module) = module {
        whose["moduleId"] = json!(module);
    }
    whose
}

#[cfg(test)]
mod tests {
    use super::super::hub_message::tests::record;
    use super::*;

    fn event(record: &Record) -> Value {
        serde_json::from_str(&structured(record, "hub1/app/2", "hub1.example").unwrap()).unwrap()
    }

    #[test]
    fn telemetry_is_as_event_grid_has_it() {
        let found = event(&record(b"{\"t\":1.50}", Some(("application/json", "utf-8")), &[("level", "hot")]));
        let expected = json!({
            "specversion": "1.0",
            "id": "hub1/app/2/7/60a24182d8240",
            "source": "hub1.example",
            "type": "Microsoft.Devices.DeviceTelemetry",
            "subject": "devices/d1",
            "time": "2023-11-14T22:13:20.1230000Z",
            "datacontenttype": "application/json",
            "data": {
                "properties": {"level": "hot"},
                "systemProperties": {
                    "iothub-connection-device-id": "d1",
                    "iothub-enqueuedtime": "2023-11-14T22:13:20.1230000Z",
                    "iothub-message-source": "Telemetry",
                    "iothub-content-type": "application/json",
                    "iothub-content-encoding": "utf-8",
                    "message-id": "m1",
                },
                "body": {"t": 1.5},
            },
        });
        assert_eq!(found, expected);
        let plain = event(&record(b"hot", None, &[]));
        assert_eq!(plain["data"]["body"], "aG90");
    }
}
