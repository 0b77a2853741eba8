//! `$cbs`: tokens that are put become claims of the connection.

use pollux_amqp::{Message, Value};
use pollux_model::resource::PolicyRight;
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::{Address, Claim, Namespace, Place};

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
    if let Some(namespace) = services.events.namespace(host, audience) {
        exists(services, &namespace, &claim, audience)?;
    }
    Ok((audience.to_owned(), claim))
}

/// Whether there is the event hub that a token is put for, where the token allows to know it: clients take the answer to
/// `put-token` for the word on what does not exist (status code 404, as Azure answers). An audience without a scheme may
/// begin with a host name and is not looked at.
fn exists(services: &Services, namespace: &Namespace, claim: &Claim, audience: &str) -> Result<()> {
    let Some((_, path)) = audience.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else {
        return Ok(());
    };
    let Ok(Address { event_hub, .. }) = Address::parse(path) else { return Ok(()) };
    let may = |right| services.events.require(namespace, [claim], path, right).is_ok();
    if may(PolicyRight::Send) || may(PolicyRight::Listen) {
        services.events.event_hub(namespace, &Address { event_hub, place: Place::Whole })?;
    }
    Ok(())
}

/// The answer to a `put-token` that was taken or not. It bears the condition under one of its two names only: where PyPI's
/// azure-eventhub sees `error-condition` it tells neither the status nor what is wrong (`_on_execute_operation_complete` in
/// its `_pyamqp/cbs.py`).
pub(super) fn answer(request: &Request, put: Result<()>) -> Message {
    let answer = put.map_or_else(Answer::from, |()| Answer::good(202, "Accepted", Value::Null));
    let mut message = request.answer(answer);
    message.application_properties.0.retain(|(name, _)| name != "error-condition");
    message
}
