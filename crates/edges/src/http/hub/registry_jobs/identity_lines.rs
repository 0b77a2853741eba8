//! Lines of `devices.txt` (article "Import and export IoT Hub device identities in bulk"; `ExportImportDevice` of the service
//! SDKs): what is exported can be imported.

use pollux_model::Error;
use pollux_model::device::Device;
use pollux_services::hub::{IdentityLines, ImportLine, LineParts, Presence, place, twin_document};
use serde_json::{Value, json};

use crate::http::hub::bulk::Item;
use crate::http::hub::device_json::authentication;
use crate::http::hub::status;

/// The words of the API.
#[derive(Debug)]
pub(crate) struct Lines;

impl IdentityLines for Lines {
    fn read(&self, line: &[u8]) -> Result<ImportLine, (String, Error)> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| (String::new(), Error::invalid(format!("the line is no JSON: {error}"))))?;
        let id = value.get("id").or_else(|| value.get("deviceId")).and_then(Value::as_str);
        let id = id.unwrap_or_default().to_owned();
        let item: Item = serde_json::from_value(value)
            .map_err(|error| (id.clone(), Error::invalid(format!("the line is no identity: {error}"))))?;
        item.line().map_err(|error| (id, error))
    }

    fn write(&self, device: &Device, shown: LineParts) -> String {
        let identity = &device.identity;
        let mut proof = authentication(&identity.authentication);
        if !shown.keys {
            proof["symmetricKey"] = json!({ "primaryKey": null, "secondaryKey": null });
        }
        let mut line = json!({
            "id": device.id,
            "eTag": identity.etag,
            "status": identity.status.as_str(),
            "statusReason": identity.status_reason,
            "authentication": proof,
        });
        match &device.module {
            Some(module) => {
                (line["moduleId"], line["managedBy"]) = (json!(module), json!(identity.managed_by))
            }
            None => line["capabilities"] = json!({ "iotEdge": identity.iot_edge }),
        }
        place(identity, &mut line);
        if shown.twin {
            let twin = twin_document(device, Presence::default());
            for (name, of_twin) in [("twinETag", "etag"), ("tags", "tags"), ("properties", "properties")] {
                line[name] = twin[of_twin].clone();
            }
        }
        line.to_string()
    }

    fn error(&self, device: &str, error: &Error) -> String {
        let name = status::name(error.code);
        json!({ "deviceId": device, "errorCode": name, "errorStatus": error.message }).to_string()
    }
}
