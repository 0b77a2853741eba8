//! How devices prove who they are: options, and the field they become.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::input;

/// Options of `create` and `update`. Without certificates it is by keys, which the service makes up where none are given.
#[derive(Debug, Args)]
pub(super) struct Attestation {
    /// The primary key, base64 [default: made up]
    #[arg(long, visible_alias = "pk", conflicts_with_all = ["certificate_path", "ca_name"])]
    primary_key: Option<String>,
    /// The secondary key, base64 [default: made up]
    #[arg(long, visible_alias = "sk", conflicts_with_all = ["certificate_path", "ca_name"])]
    secondary_key: Option<String>,
    /// A file with a certificate: of a group the one that signs its devices' (root or intermediate), else the device's own
    #[arg(long, visible_alias = "cp", conflicts_with = "ca_name")]
    certificate_path: Option<PathBuf>,
    /// The certificate that is to follow it: both are believed
    #[arg(long, visible_alias = "scp", conflicts_with = "secondary_ca_name")]
    secondary_certificate_path: Option<PathBuf>,
    /// The name of a verified certificate (pollux dps certificate) that signs its devices'
    #[arg(long, visible_aliases = ["cn", "root-ca-name"])]
    ca_name: Option<String>,
    /// The name of the one that is to follow it
    #[arg(long, visible_aliases = ["scn", "secondary-root-ca-name"])]
    secondary_ca_name: Option<String>,
    /// The public endorsement key of the device's TPM, base64 of TPM2B_PUBLIC (tpm2_createek -f tss); of one device only
    #[arg(long, visible_alias = "ek", conflicts_with_all = ["primary_key", "secondary_key", "certificate_path", "ca_name"])]
    endorsement_key: Option<String>,
    /// Its public storage root key; the device brings its own
    #[arg(long, visible_alias = "srk", requires = "endorsement_key")]
    storage_root_key: Option<String>,
}

/// Whose certificates they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// One device.
    Individual,
    /// Many devices.
    Group,
}

impl Attestation {
    /// Writes what was said into a body; what was not said stays as it is there.
    pub(super) fn apply(&self, of: Of, body: &mut Map<String, Value>) -> Result<()> {
        let attestation = body.entry("attestation").or_insert_with(|| json!({ "type": "symmetricKey" }));
        let name = |name: &Option<String>| name.as_ref().map(|name| json!(name));
        let kind = match of {
            Of::Individual => "clientCertificates",
            Of::Group => "signingCertificates",
        };
        let certificates = (
            certificate(self.certificate_path.as_deref())?,
            certificate(self.secondary_certificate_path.as_deref())?,
        );
        let names = (name(&self.ca_name), name(&self.secondary_ca_name));
        for (kind, (primary, secondary)) in [(kind, certificates), ("caReferences", names)] {
            if primary.is_none() && secondary.is_none() {
                continue;
            }
            let mut trust = attestation["x509"][kind].take();
            if !trust.is_object() {
                trust = json!({});
            }
            for (which, said) in [("primary", primary), ("secondary", secondary)] {
                if let Some(said) = said {
                    trust[which] = said;
                }
            }
            *attestation = json!({ "type": "x509", "x509": { kind: trust } });
            return Ok(());
        }
        if let Some(endorsement_key) = &self.endorsement_key {
            let mut tpm = json!({ "endorsementKey": endorsement_key });
            if let Some(storage_root_key) = &self.storage_root_key {
                tpm["storageRootKey"] = json!(storage_root_key);
            }
            *attestation = json!({ "type": "tpm", "tpm": tpm });
            return Ok(());
        }
        let keys = [("primaryKey", &self.primary_key), ("secondaryKey", &self.secondary_key)];
        let keys: Map<_, _> = keys
            .into_iter()
            .filter_map(|(name, key)| Some((name.to_owned(), json!(key.as_ref()?))))
            .collect();
        if !keys.is_empty() {
            *attestation = json!({ "type": "symmetricKey", "symmetricKey": keys });
        }
        Ok(())
    }
}

fn certificate(path: Option<&Path>) -> Result<Option<Value>> {
    path.map(|path| Ok(json!({ "certificate": input::certificate(path)? }))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(options: &[&str]) -> Attestation {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            attestation: Attestation,
        }
        <Line as clap::Parser>::parse_from([&["x"], options].concat()).attestation
    }

    fn applied(options: &[&str], of: Of, before: Value) -> Value {
        let Value::Object(mut body) = before else { panic!("no object") };
        said(options).apply(of, &mut body).unwrap();
        Value::Object(body)
    }

    #[test]
    fn what_is_not_said_stays() {
        let keys = json!({"attestation": {"type": "symmetricKey"}});
        assert_eq!(applied(&[], Of::Group, json!({})), keys);
        let x509 = json!({"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "a", "secondary": null}}}});
        assert_eq!(applied(&[], Of::Group, x509.clone()), x509);
        let both = json!({"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "a", "secondary": "b"}}}});
        assert_eq!(applied(&["--secondary-ca-name", "b"], Of::Group, x509), both);
        let tpm = json!({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAAA", "storageRootKey": "AAAB"}}});
        assert_eq!(applied(&["--ek", "AAAA", "--srk", "AAAB"], Of::Individual, json!({})), tpm);
        let one = json!({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "a2V5"}}});
        assert_eq!(applied(&["--primary-key", "a2V5"], Of::Individual, both), one);
    }

    #[test]
    fn a_certificate_of_a_group_signs_and_one_of_a_device_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let options = ["--certificate-path", path.to_str().unwrap()];
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (of, kind) in [(Of::Group, "signingCertificates"), (Of::Individual, "clientCertificates")] {
            let made = applied(&options, of, json!({}));
            assert_eq!(made["attestation"]["x509"][kind]["primary"]["certificate"], text);
        }
    }
}
