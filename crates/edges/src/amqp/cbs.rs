//! `$cbs`: tokens that are put become claims of the connection.

use pollux_amqp::Value;
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::Claim;

use super::request::{Answer, Request};

/// Claims that a connection has at most: clients put one for each entity.
const MOST: usize = 1000;
/// The longest audience, in bytes.
const LONGEST: usize = 1024;

/// The claims of a connection, by audience.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    /// What the token was put for; putting another replaces it.
    audience: String,
    claim: Claim,
}

impl Claims {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Claim> + Clone {
        self.held.iter().map(|held| &held.claim)
    }

    /// Puts one, in the place of the one for the same audience.
    pub(super) fn put(&mut self, audience: &str, claim: Claim) -> Result<()> {
        let audience = audience.to_ascii_lowercase();
        if let Some(held) = self.held.iter_mut().find(|held| held.audience == audience) {
            held.claim = claim;
            return Ok(());
        }
        if self.held.len() >= MOST {
            let text = format!("the connection has {MOST} tokens; put no more");
            return Err(Error::new(ErrorCode::QuotaExceeded, text));
        }
        self.held.push(Held { audience, claim });
        Ok(())
    }

    /// Drops those that do not hold any more.
    pub(super) fn prune(&mut self, services: &Services) {
        self.held.retain(|held| services.events.still_holds(&held.claim));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// A claim out of a `put-token`, and what it is for.
pub(super) async fn claim(services: &Services, host: &str, request: &Request) -> Result<(String, Claim)> {
    let operation = request.text("operation").unwrap_or_default();
    if operation != "put-token" {
        return Err(Error::invalid("the operation is not known here: use put-token"));
    }
    let audience = request.text("name").ok_or_else(|| Error::invalid("name the audience in 'name'"))?;
    if audience.len() > LONGEST {
        return Err(Error::invalid(format!("the audience is longer than {LONGEST} bytes")));
    }
    let token = request.body().ok_or_else(|| Error::invalid("the body must be the token, as a string"))?;
    let claim = match request.text("type").unwrap_or_default() {
        "servicebus.windows.net:sastoken" => {
            let token = SasToken::parse(token)
                .map_err(|error| Error::new(ErrorCode::Unauthorized, error.to_string()))?;
            services.events.claim_by_token(host, audience, &token)?
        }
        "jwt" => services.events.claim_by_bearer(token).await?,
        _ => return Err(Error::invalid("'type' must be servicebus.windows.net:sastoken or jwt")),
    };
    Ok((audience.to_owned(), claim))
}

/// The answer to a `put-token` that was taken.
pub(super) fn accepted() -> Answer {
    Answer::good(202, "Accepted", Value::Null)
}
