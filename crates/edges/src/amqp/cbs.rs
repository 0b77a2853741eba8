//! `$cbs`: tokens that are put become claims of the connection, on event hubs and at hubs.

use pollux_amqp::{Message, Value};
use pollux_model::resource::PolicyRight;
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::{Address, Claim, Namespace, Place};

use super::hub::Credential;
use super::request::{Answer, Request};

/// Claims that a connection has at most: clients put one for each entity.
const MOST: usize = 1000;
/// The longest audience, in bytes.
const LONGEST: usize = 1024;

/// The claims of a connection, by audience.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Vec<(String, Claim)>,
}

/// What a token is that was put: a claim on event hubs, what holds at a hub, or both.
#[derive(Debug)]
pub(super) struct Put {
    /// What it was put for; putting another replaces it.
    pub(super) audience: String,
    pub(super) events: Option<Claim>,
    pub(super) hub: Option<Credential>,
}

/// Puts one in the place of that for the same audience. [`ErrorCode::QuotaExceeded`].
pub(super) fn put_in_place<T>(held: &mut Vec<(String, T)>, audience: &str, one: T) -> Result<()> {
    let audience = audience.to_ascii_lowercase();
    if let Some((_, before)) = held.iter_mut().find(|(before, _)| *before == audience) {
        *before = one;
        return Ok(());
    }
    if held.len() >= MOST {
        let text = format!("the connection has {MOST} tokens; put no more");
        return Err(Error::new(ErrorCode::QuotaExceeded, text));
    }
    held.push((audience, one));
    Ok(())
}

impl Claims {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Claim> + Clone {
        self.held.iter().map(|(_, claim)| claim)
    }

    /// Puts one, in the place of the one for the same audience.
    pub(super) fn put(&mut self, audience: &str, claim: Claim) -> Result<()> {
        put_in_place(&mut self.held, audience, claim)
    }

    /// Drops those that do not hold any more.
    pub(super) fn prune(&mut self, services: &Services) {
        self.held.retain(|(_, claim)| services.events.still_holds(claim));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// What a `put-token` puts.
pub(super) async fn put(services: &Services, host: &str, request: &Request) -> Result<Put> {
    let operation = request.text("operation").unwrap_or_default();
    if operation != "put-token" {
        return Err(Error::invalid("the operation is not known here: use put-token"));
    }
    let audience = request.text("name").ok_or_else(|| Error::invalid("name the audience in 'name'"))?;
    if audience.len() > LONGEST {
        return Err(Error::invalid(format!("the audience is longer than {LONGEST} bytes")));
    }
    let token = request.body().ok_or_else(|| Error::invalid("the body must be the token, as a string"))?;
    // Clients of hubs put bearer tokens under either type, with the word before them (npm's azure-iothub, PyPI's azure-iot-hub).
    let bearer = token.strip_prefix("Bearer ").map(str::trim);
    let (events, hub) = match (request.text("type").unwrap_or_default(), bearer) {
        ("servicebus.windows.net:sastoken", None) => by_signature(services, host, audience, token).await?,
        ("jwt" | "bearer", None) => by_bearer(services, host, token).await?,
        ("servicebus.windows.net:sastoken" | "jwt" | "bearer", Some(token)) => {
            by_bearer(services, host, token).await?
        }
        _ => return Err(Error::invalid("'type' must be servicebus.windows.net:sastoken, jwt or bearer")),
    };
    if let Some(claim) = &events
        && let Some(namespace) = services.events.namespace(host, audience)
    {
        exists(services, &namespace, claim, audience)?;
    }
    Ok(Put { audience: audience.to_owned(), events, hub })
}

async fn by_signature(
    services: &Services,
    host: &str,
    audience: &str,
    token: &str,
) -> Result<(Option<Claim>, Option<Credential>)> {
    let token =
        SasToken::parse(token).map_err(|error| Error::new(ErrorCode::Unauthorized, error.to_string()))?;
    let events = services.events.claim_by_token(host, audience, &token);
    either(events, Credential::of_token(services, host, &token).await)
}

async fn by_bearer(
    services: &Services,
    host: &str,
    token: &str,
) -> Result<(Option<Claim>, Option<Credential>)> {
    let events = services.events.claim_by_bearer(token).await;
    either(events, Credential::of_bearer(services, host, token).await)
}

/// What holds of the two; where neither does, the error of the hub if there is one that it is for.
fn either(
    events: Result<Claim>,
    hub: Option<Result<Credential>>,
) -> Result<(Option<Claim>, Option<Credential>)> {
    match (events, hub) {
        (Err(_), Some(Err(error))) | (Err(error), None) => Err(error),
        (events, hub) => Ok((events.ok(), hub.and_then(Result::ok))),
    }
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

/// The answer to a `put-token` that was taken or not: a hub says 200, which npm's azure-iot-amqp-base takes for the only good
/// one (`amqp_cbs.js`), event hubs 202. It bears the condition under one of its two names only: where PyPI's azure-eventhub
/// sees `error-condition` it tells neither the status nor what is wrong (`_on_execute_operation_complete` in its
/// `_pyamqp/cbs.py`).
pub(super) fn answer(request: &Request, put: Result<At>) -> Message {
    let good = |at| match at {
        At::Hub => Answer::good(200, "OK", Value::Null),
        At::EventHubs => Answer::good(202, "Accepted", Value::Null),
    };
    let mut message = request.answer(put.map_or_else(Answer::from, good));
    message.application_properties.0.retain(|(name, _)| name != "error-condition");
    message
}

/// Where a token holds that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At a hub, whatever else.
    Hub,
    /// At event hubs only.
    EventHubs,
}
