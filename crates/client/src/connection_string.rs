//! Connection strings: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…` of hub and DPS, with `DeviceId=…` for a
//! device, and `Endpoint=sb://…/;…;EntityPath=…` of Event Hubs.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A connection string taken apart. Which fields are there tells what it is for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectionString {
    /// `HostName`, or the host of `Endpoint`; a port, where one was given, stays on it.
    pub host_name: String,
    /// Whether the host came as `Endpoint=sb://…`.
    pub is_endpoint: bool,
    /// `SharedAccessKeyName`: the policy.
    pub key_name: Option<String>,
    /// `SharedAccessKey`, as it stands (base64).
    pub key: Option<String>,
    /// `DeviceId`.
    pub device_id: Option<String>,
    /// `ModuleId`.
    pub module_id: Option<String>,
    /// `EntityPath`: the event hub.
    pub entity_path: Option<String>,
}

/// What is wrong with a connection string; says which field. The text itself is secret and not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A part without an equals sign.
    #[error("part {0} of the connection string is not of the form Name=Value")]
    NotAPair(usize),
    /// Neither `HostName` nor `Endpoint`, or an empty one.
    #[error("the connection string needs HostName=… or Endpoint=sb://…/")]
    NoHost,
    /// A field twice.
    #[error("{0} stands twice in the connection string")]
    Twice(&'static str),
    /// A field that the caller needs.
    #[error("the connection string needs {0}=…")]
    Missing(&'static str),
    /// The key is not base64.
    #[error("SharedAccessKey of the connection string is not base64")]
    KeyNotBase64,
}

impl ConnectionString {
    /// Of a device: host, id and key in base64.
    #[must_use]
    pub fn device(host_name: &str, device_id: &str, key: &str) -> Self {
        Self {
            host_name: host_name.to_owned(),
            device_id: Some(device_id.to_owned()),
            key: Some(key.to_owned()),
            ..Self::default()
        }
    }

    /// The host without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.host_name.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.host_name,
        }
    }

    /// The port, where one was given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host_name.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// The key, decoded.
    ///
    /// # Errors
    /// [`ConnectionStringError::Missing`], [`ConnectionStringError::KeyNotBase64`].
    pub fn key_bytes(&self) -> Result<Vec<u8>, ConnectionStringError> {
        let key = self.key.as_deref().ok_or(ConnectionStringError::Missing("SharedAccessKey"))?;
        BASE64.decode(key).map_err(|_| ConnectionStringError::KeyNotBase64)
    }

    /// The device's id.
    ///
    /// # Errors
    /// [`ConnectionStringError::Missing`].
    pub fn require_device_id(&self) -> Result<&str, ConnectionStringError> {
        self.device_id.as_deref().ok_or(ConnectionStringError::Missing("DeviceId"))
    }
}

impl FromStr for ConnectionString {
    type Err = ConnectionStringError;

    /// Field names in any case and order; fields that are not known here are passed over.
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        let (mut host, mut endpoint, mut parsed) = (None, None, Self::default());
        for (index, part) in text.split(';').map(str::trim).enumerate().filter(|(_, part)| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(ConnectionStringError::NotAPair(index + 1))?;
            let (name, slot) = match name.to_ascii_lowercase().as_str() {
                "hostname" => ("HostName", &mut host),
                "endpoint" => ("Endpoint", &mut endpoint),
                "sharedaccesskeyname" => ("SharedAccessKeyName", &mut parsed.key_name),
                "sharedaccesskey" => ("SharedAccessKey", &mut parsed.key),
                "deviceid" => ("DeviceId", &mut parsed.device_id),
                "moduleid" => ("ModuleId", &mut parsed.module_id),
                "entitypath" => ("EntityPath", &mut parsed.entity_path),
                _ => continue,
            };
            if slot.replace(value.to_owned()).is_some() {
                return Err(ConnectionStringError::Twice(name));
            }
        }
        parsed.is_endpoint = endpoint.is_some();
        let from_endpoint = |text: String| Some(text.split_once("://")?.1.trim_end_matches('/').to_owned());
        let found = host.or_else(|| endpoint.and_then(from_endpoint));
        parsed.host_name = found.filter(|host| !host.is_empty()).ok_or(ConnectionStringError::NoHost)?;
        Ok(parsed)
    }
}

impl fmt::Display for ConnectionString {
    /// The connection string, with its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_endpoint {
            write!(f, "Endpoint=sb://{}/", self.host_name)?;
        } else {
            write!(f, "HostName={}", self.host_name)?;
        }
        for (name, value) in [
            ("DeviceId", &self.device_id),
            ("ModuleId", &self.module_id),
            ("SharedAccessKeyName", &self.key_name),
            ("SharedAccessKey", &self.key),
            ("EntityPath", &self.entity_path),
        ] {
            if let Some(value) = value {
                write!(f, ";{name}={value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectionString {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("host_name", &self.host_name)
            .field("key_name", &self.key_name)
            .field("device_id", &self.device_id)
            .field("entity_path", &self.entity_path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_back() {
        for text in [
            "HostName=hub1.localhost:8443;SharedAccessKeyName=iothubowner;SharedAccessKey=AAEC/w==",
            "HostName=hub1.localhost;DeviceId=d 1;SharedAccessKey=AAEC/w==",
            "HostName=hub1.localhost;DeviceId=d;ModuleId=m;SharedAccessKey=AAEC/w==",
            "Endpoint=sb://ns.localhost:5671/;SharedAccessKeyName=root;SharedAccessKey=k;EntityPath=deviceevents",
        ] {
            assert_eq!(text.parse::<ConnectionString>().unwrap().to_string(), text);
        }
        let hub: ConnectionString = "sharedaccesskey=AAEC/w==; HOSTNAME=h:8443 ;x509=true;".parse().unwrap();
        assert_eq!((hub.host(), hub.port(), hub.key_bytes().unwrap()), ("h", Some(8443), vec![0, 1, 2, 255]));
        assert_eq!(
            ConnectionString::device("h", "d", "k").to_string(),
            "HostName=h;DeviceId=d;SharedAccessKey=k"
        );
        assert!(!format!("{hub:?}").contains("AAEC"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ConnectionStringError as E;
        for (text, expected) in [
            ("", E::NoHost),
            ("HostName=;DeviceId=d", E::NoHost),
            ("Endpoint=localhost", E::NoHost),
            ("HostName=h;secret", E::NotAPair(2)),
            ("HostName=h;DeviceId=a;deviceid=b", E::Twice("DeviceId")),
        ] {
            assert_eq!(text.parse::<ConnectionString>(), Err(expected), "{text}");
        }
        let bare: ConnectionString = "HostName=h".parse().unwrap();
        assert_eq!(bare.key_bytes(), Err(E::Missing("SharedAccessKey")));
        assert_eq!(bare.require_device_id(), Err(E::Missing("DeviceId")));
        let odd: ConnectionString = "HostName=h;SharedAccessKey=!".parse().unwrap();
        assert_eq!(odd.key_bytes(), Err(E::KeyNotBase64));
    }
}
