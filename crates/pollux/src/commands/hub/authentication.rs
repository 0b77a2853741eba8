//! How a device or a module proves who it is, as the commands that make and change one say it. The options are those of the
//! Azure CLI's `az iot hub device-identity`.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// By what one proves who it is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// Keys
    #[value(name = "shared_private_key", alias = "sas")]
    Keys,
    /// A certificate of a registered thumbprint
    #[value(name = "x509_thumbprint")]
    Thumbprint,
    /// A certificate that an authority signed which the hub knows: pollux hub certificate
    #[value(name = "x509_ca")]
    Authority,
}

/// Keys or certificates.
#[derive(Debug, Args)]
pub(super) struct Authentication {
    /// By what it proves who it is [default: what else is said here; keys for a new one]
    #[arg(long, visible_alias = "am", value_enum)]
    auth_method: Option<Method>,
    /// The primary key, base64 [default: made up, or kept]
    #[arg(long, visible_alias = "pk", requires = "secondary_key", conflicts_with_all = ["primary_thumbprint", "secondary_thumbprint"])]
    primary_key: Option<String>,
    /// The secondary key, base64 [default: made up, or kept]
    #[arg(long, visible_alias = "sk", requires = "primary_key")]
    secondary_key: Option<String>,
    /// The SHA-1 or SHA-256 thumbprint of its certificate, in hexadecimal
    #[arg(long, visible_alias = "ptp", value_name = "THUMBPRINT")]
    primary_thumbprint: Option<String>,
    /// That of the certificate that follows it
    #[arg(long, visible_alias = "stp", value_name = "THUMBPRINT")]
    secondary_thumbprint: Option<String>,
}

impl Authentication {
    /// Changes an identity's document; nothing where nothing is said.
    ///
    /// # Errors
    /// A certificate of which nothing is known.
    pub(super) fn apply(&self, body: &mut Value) -> Result<()> {
        let thumbprints = self.primary_thumbprint.is_some() || self.secondary_thumbprint.is_some();
        let method = match self.auth_method {
            Some(method) => method,
            None if thumbprints => Method::Thumbprint,
            None if self.primary_key.is_some() => Method::Keys,
            None => return Ok(()),
        };
        body["authentication"] = match method {
            Method::Authority => json!({ "type": "certificateAuthority" }),
            Method::Keys => {
                let known = body["authentication"]["symmetricKey"].take();
                let mut keys = if known.is_object() { known } else { json!({}) };
                if let (Some(primary), Some(secondary)) = (&self.primary_key, &self.secondary_key) {
                    keys = json!({ "primaryKey": primary, "secondaryKey": secondary });
                }
                json!({ "type": "sas", "symmetricKey": keys })
            }
            Method::Thumbprint => {
                let known = body["authentication"]["x509Thumbprint"].take();
                let mut both = if known.is_object() { known } else { json!({}) };
                let given = [
                    ("primaryThumbprint", &self.primary_thumbprint),
                    ("secondaryThumbprint", &self.secondary_thumbprint),
                ];
                for (name, thumbprint) in
                    given.into_iter().filter_map(|(name, one)| Some((name, one.as_ref()?)))
                {
                    both[name] = json!(thumbprint);
                }
                if both["primaryThumbprint"].is_null() && both["secondaryThumbprint"].is_null() {
                    bail!("x509_thumbprint needs --primary-thumbprint or --secondary-thumbprint");
                }
                json!({ "type": "selfSigned", "x509Thumbprint": both })
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};
    use serde_json::{Value, json};

    use super::Authentication;

    fn applied(said: &[&str], mut body: Value) -> Value {
        let command = Authentication::augment_args(Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(said).unwrap();
        Authentication::from_arg_matches(&matches).unwrap().apply(&mut body).unwrap();
        body
    }

    #[test]
    fn what_is_said_becomes_the_identity_s_authentication() {
        let keys = json!({ "authentication": { "type": "sas", "symmetricKey": { "primaryKey": "a", "secondaryKey": "b" } } });
        assert_eq!(applied(&[], keys.clone()), keys, "nothing said");
        assert_eq!(applied(&["--auth-method", "shared_private_key"], keys.clone()), keys);
        let made = applied(&["--auth-method", "x509_ca"], keys.clone());
        assert_eq!(made["authentication"], json!({ "type": "certificateAuthority" }));
        let made = applied(&["--ptp", "AB"], keys);
        assert_eq!(
            made["authentication"],
            json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": "AB" } })
        );
        let rolled = applied(&["--stp", "CD"], made);
        let both = json!({ "primaryThumbprint": "AB", "secondaryThumbprint": "CD" });
        assert_eq!(rolled["authentication"]["x509Thumbprint"], both);
    }
}
