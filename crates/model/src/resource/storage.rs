//! Containers that a hub's routes lead to, and how messages are written there (ARM resource
//! "RoutingStorageContainerProperties").

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Setting;
use crate::error::{Error, Result};
use crate::{ResourceName, Timestamp};

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageContainer {
    /// Its name.
    pub container: String,
    /// The connection string of its account, its URL with a shared access signature, or `S3Endpoint=…` of a bucket; `None`: a folder
    /// that the deployment keeps itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<Setting>,
    /// How messages are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// What blobs are called.
    #[serde(default)]
    pub file_name_format: FileNameFormat,
    /// How long messages are gathered, in seconds: 60 to 720.
    pub batch_frequency_seconds: u32,
    /// When a blob is full, in bytes: 10 MiB to 500 MiB.
    pub max_chunk_bytes: u64,
}

impl StorageContainer {
    /// How long messages are gathered when nothing is said, in seconds.
    pub const BATCH_FREQUENCY: u32 = 300;
    /// When a blob is full when nothing is said.
    pub const MAX_CHUNK: u64 = 300 << 20;

    /// How long messages are gathered.
    #[must_use]
    pub const fn batch_frequency(&self) -> Duration {
        Duration::from_secs(self.batch_frequency_seconds as u64)
    }

    /// Whether all of it is within Azure's bounds.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](crate::ErrorCode::InvalidArgument) says what is not.
    pub fn check(&self) -> Result<()> {
        if !(60..=720).contains(&self.batch_frequency_seconds) {
            return Err(Error::invalid("a storage endpoint writes every 60 to 720 seconds"));
        }
        if !(10 << 20..=500 << 20).contains(&self.max_chunk_bytes) {
            return Err(Error::invalid(
                "a blob of a storage endpoint has 10 MB (10485760) to 500 MB (524288000) bytes at most",
            ));
        }
        self.file_name_format.check()
    }
}

/// How messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// An Avro object container file.
    #[default]
    Avro,
    /// A JSON object a line.
    #[serde(rename = "JSON", alias = "Json", alias = "json")]
    Json,
}

impl Encoding {
    /// The ARM name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "Avro",
            Self::Json => "JSON",
        }
    }
}

/// What blobs are called: a text with each of the tokens, in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileNameFormat(pub String);

/// All of them must be there.
const TOKENS: [&str; 7] = ["{iothub}", "{partition}", "{YYYY}", "{MM}", "{DD}", "{HH}", "{mm}"];

impl Default for FileNameFormat {
    fn default() -> Self {
        Self(TOKENS.join("/"))
    }
}

impl FileNameFormat {
    fn check(&self) -> Result<()> {
        let rest = TOKENS.iter().fold(self.0.clone(), |rest, token| rest.replacen(token, "", 1));
        let missing = TOKENS.iter().find(|token| !self.0.contains(*token));
        let good = |b: u8| b.is_ascii_alphanumeric() || b"/._-=".contains(&b);
        if let Some(token) = missing {
            return Err(Error::invalid(format!(
                "the file name format lacks {token}: it must have each of {} once",
                TOKENS.join(" ")
            )));
        }
        let walks =
            self.0.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with('.'));
        if !rest.bytes().all(good) || walks || self.0.len() > 256 {
            return Err(Error::invalid(
                "a file name format has, beside its tokens, letters, digits and / . _ - =, up to 256 characters; no part of it \
                 is empty, or begins or ends with a full stop",
            ));
        }
        Ok(())
    }

    /// The name of a blob: the moment of its first message, and behind the rest the endpoint, the message's place and who wrote it,
    /// so that each blob has a name of its own.
    #[must_use]
    pub fn expand(&self, of: &BlobsOf<'_>, first: &FirstMessage, extension: &str) -> String {
        let moment = first.enqueued.to_string();
        let part = |from: usize, to: usize| moment.get(from..to).unwrap_or_default();
        let name = self
            .0
            .replace("{iothub}", of.hub)
            .replace("{partition}", &of.partition.to_string())
            .replace("{YYYY}", part(0, 4))
            .replace("{MM}", part(5, 7))
            .replace("{DD}", part(8, 10))
            .replace("{HH}", part(11, 13))
            .replace("{mm}", part(14, 16));
        let stem = name.strip_suffix(extension).unwrap_or(&name);
        let (endpoint, number) = (of.endpoint, first.sequence_number);
        let writer = first.epoch.map(|epoch| format!("-{epoch}")).unwrap_or_default();
        format!("{stem}_{endpoint}_{number}{writer}{extension}")
    }

    /// What the names of all blobs of an endpoint's partition begin with.
    #[must_use]
    pub fn prefix(&self, of: &BlobsOf<'_>) -> String {
        let fixed = self.0.replace("{iothub}", of.hub).replace("{partition}", &of.partition.to_string());
        fixed.split('{').next().unwrap_or_default().to_owned()
    }

    /// Whether a blob of an endpoint's partition may be called so: whether [`FileNameFormat::expand`] gives that name for any first
    /// message.
    #[must_use]
    pub fn names(&self, of: &BlobsOf<'_>, name: &str, extension: &str) -> bool {
        self.number(of, name, extension).is_some_and(|number| {
            let (number, writer) = number.split_once('-').unwrap_or((number, "0"));
            [number, writer].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        })
    }

    /// What a name has behind the endpoint.
    fn number<'n>(&self, of: &BlobsOf<'_>, name: &'n str, extension: &str) -> Option<&'n str> {
        let partition = of.partition.to_string();
        let mut rest = name.strip_suffix(extension)?;
        let mut format = self.0.strip_suffix(extension).unwrap_or(&self.0);
        while let Some((literal, behind)) = format.split_once('{') {
            let (token, behind) = behind.split_once('}')?;
            rest = rest.strip_prefix(literal)?;
            rest = match token {
                "iothub" => rest.strip_prefix(&**of.hub)?,
                "partition" => rest.strip_prefix(partition.as_str())?,
                digits => {
                    let (moment, behind) = rest.split_at_checked(digits.len())?;
                    moment.bytes().all(|b| b.is_ascii_digit()).then_some(behind)?
                }
            };
            format = behind;
        }
        rest.strip_prefix(format)?.strip_prefix('_')?.strip_prefix(of.endpoint)?.strip_prefix('_')
    }
}

/// Whose blobs they are.
#[derive(Debug, Clone, Copy)]
pub struct BlobsOf<'o> {
    /// The hub.
    pub hub: &'o ResourceName,
    /// Its endpoint.
    pub endpoint: &'o str,
    /// The partition of what waits for the endpoint.
    pub partition: u32,
}

/// What tells a blob from the others of its partition.
#[derive(Debug, Clone, Copy)]
pub struct FirstMessage {
    /// When it came.
    pub enqueued: Timestamp,
    /// Its place in the partition.
    pub sequence_number: i64,
    /// Of the lease under which the blob is written; `None` where there is no other node. Whoever had the lease before, and is slow,
    /// writes under another name and takes nothing away that was written since.
    pub epoch: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> FileNameFormat {
        FileNameFormat(text.to_owned())
    }

    #[test]
    fn a_format_has_each_token() {
        let usual = FileNameFormat::default();
        assert_eq!(usual.0, "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}");
        for good in ["x/{mm}{HH}/{DD}-{MM}-{YYYY}/{partition}/{iothub}.avro", &usual.0] {
            assert!(format(good).check().is_ok(), "{good}");
        }
        let long = format!("{}{}", usual.0, "x".repeat(256));
        for bad in [
            "",
            "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}",
            "{iothub}/../{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
            "/{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
            "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}?{iothub}",
            &long,
        ] {
            assert!(format(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_that_of_its_first_message() {
        let hub = ResourceName::parse("hub1").unwrap();
        let of = |partition| BlobsOf { hub: &hub, endpoint: "all", partition };
        let enqueued = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        let first = |epoch| FirstMessage { enqueued, sequence_number: 17, epoch };
        let usual = FileNameFormat::default();
        assert_eq!(usual.expand(&of(3), &first(None), ".avro"), "hub1/3/2026/01/02/03/04_all_17.avro");
        assert_eq!(usual.expand(&of(3), &first(Some(5)), ".avro"), "hub1/3/2026/01/02/03/04_all_17-5.avro");
        let own = format("{YYYY}{MM}{DD}/{iothub}-{partition}-{HH}{mm}.json");
        let name = own.expand(&of(0), &first(None), ".json");
        assert_eq!(name, "20260102/hub1-0-0304_all_17.json");
        assert_eq!((usual.prefix(&of(3)).as_str(), own.prefix(&of(0)).as_str()), ("hub1/3/", ""));
        assert!(own.names(&of(0), &name, ".json"));
        for epoch in [None, Some(5)] {
            let name = usual.expand(&of(3), &first(epoch), ".avro");
            assert!(usual.names(&of(3), &name, ".avro") && !usual.names(&of(0), &name, ".avro"), "{name}");
        }
        for foreign in [
            "hub1/3/2026/01/02/03/04_all_17.json",
            "hub1/3/2026/01/02/03/04_all_17-.avro",
            "hub1/3/2026/01/02/03/04_all_x.avro",
            "hub1/3/2026/01/02/03/04_other_17.avro",
            "hub2/3/2026/01/02/03/04_all_17.avro",
            "hub1/3/2026/xx/02/03/04_all_17.avro",
            "hub1/3/2026/01/02/03/04_all_5_17.avro",
            "backup/hub1/3/2026/01/02/03/04_all_17.avro",
            "",
        ] {
            assert!(!usual.names(&of(3), foreign, ".avro"), "{foreign}");
        }
    }

    #[test]
    fn bounds_are_azures() {
        let of = |batch_frequency_seconds, max_chunk_bytes| StorageContainer {
            container: "archive".to_owned(),
            connection_string: None,
            encoding: Encoding::Json,
            file_name_format: FileNameFormat::default(),
            batch_frequency_seconds,
            max_chunk_bytes,
        };
        assert!(of(60, 10_485_760).check().is_ok() && of(720, 524_288_000).check().is_ok());
        for (seconds, bytes) in [(59, 10_485_760), (721, 10_485_760), (60, 10_485_759), (60, 524_288_001)] {
            assert!(of(seconds, bytes).check().is_err(), "{seconds} {bytes}");
        }
    }
}
