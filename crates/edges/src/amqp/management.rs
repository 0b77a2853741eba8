//! `$management`: what there is of an event hub and of a partition (WIRE.md section 4.11).

use pollux_amqp::{Array, Kind, Value};
use pollux_model::resource::PolicyRight;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Services;
use pollux_services::events::{Address, Claim, Namespace, Place};

use super::request::{Answer, Request};

const EVENT_HUB: &str = "com.microsoft:eventhub";
const PARTITION: &str = "com.microsoft:partition";

/// Answers a request. `claims` are the connection's; npm's client sends its token along (`security_token`) and has put it
/// for `<hub>/$management` before, so that is not looked at.
pub(super) async fn answer(services: &Services, host: &str, claims: &[Claim], request: &Request) -> Answer {
    match read(services, host, claims, request).await {
        Ok(body) => Answer::good(200, "OK", Value::Map(body)),
        Err(error) => error.into(),
    }
}

async fn read(
    services: &Services,
    host: &str,
    claims: &[Claim],
    request: &Request,
) -> Result<Vec<(Value, Value)>> {
    let operation = request.text("operation").unwrap_or_default();
    if operation != "READ" {
        return Err(Error::invalid(format!(
            "the operation '{}' is not known here: use READ",
            pollux_model::ids::shown(operation)
        )));
    }
    let name = request.text("name").ok_or_else(|| Error::invalid("name the event hub in 'name'"))?;
    let address = Address::parse(name)?;
    let namespace = &services.events.namespace(host, name).ok_or_else(|| {
        Error::new(ErrorCode::EventHubNotFound, "there is no event hubs namespace of this host name")
    })?;
    // Whoever may send or receive may look; npm's client puts a token for just this.
    let just_this = format!("{name}/$management");
    let may = |path, right| services.events.require(namespace, claims, path, right);
    may(name, PolicyRight::Listen)
        .or_else(|_| may(name, PolicyRight::Send))
        .or_else(|_| may(&just_this, PolicyRight::Listen))
        .or_else(|_| may(&just_this, PolicyRight::Send))?;
    let kind = request.text("type").unwrap_or_default();
    match kind {
        EVENT_HUB => event_hub(services, namespace, &address),
        PARTITION => partition(services, namespace, address, request).await,
        _ => Err(Error::invalid(format!("'type' must be {EVENT_HUB} or {PARTITION}"))),
    }
}

fn event_hub(services: &Services, namespace: &Namespace, address: &Address) -> Result<Vec<(Value, Value)>> {
    let hub = services.events.event_hub(namespace, address)?;
    let ids = (0..hub.partitions).map(|id| Value::from(id.to_string())).collect();
    let ids = Array::new(Kind::String, ids).ok_or_else(Error::internal)?;
    let count = i32::try_from(hub.partitions).unwrap_or(i32::MAX);
    Ok(vec![
        (Value::from("name"), Value::from(hub.name.clone())),
        (Value::from("type"), Value::from(EVENT_HUB)),
        (Value::from("created_at"), Value::Timestamp(namespace.created.as_millis())),
        (Value::from("partition_count"), Value::Int(count)),
        (Value::from("partition_ids"), Value::Array(ids)),
        (Value::from("georeplication_factor"), Value::Int(1)),
    ])
}

async fn partition(
    services: &Services,
    namespace: &Namespace,
    mut address: Address,
    request: &Request,
) -> Result<Vec<(Value, Value)>> {
    let wanted =
        request.text("partition").ok_or_else(|| Error::invalid("name the partition in 'partition'"))?;
    let number = wanted.parse::<u32>().map_err(|_| {
        let text = format!("there is no partition '{}'", pollux_model::ids::shown(wanted));
        Error::new(ErrorCode::InvalidArgument, text)
    })?;
    address.place = Place::Partition(number);
    let hub = services.events.event_hub(namespace, &address)?;
    let info = services.events.partition_info(namespace, &hub.name, number).await?;
    Ok(vec![
        (Value::from("name"), Value::from(hub.name.clone())),
        (Value::from("type"), Value::from(PARTITION)),
        (Value::from("partition"), Value::from(number.to_string())),
        (Value::from("begin_sequence_number"), Value::Long(info.begin_sequence_number)),
        (Value::from("last_enqueued_sequence_number"), Value::Long(info.last_sequence_number)),
        (Value::from("last_enqueued_offset"), Value::from(info.last_offset.to_string())),
        (Value::from("last_enqueued_time_utc"), Value::Timestamp(info.last_enqueued_time.as_millis())),
        (Value::from("is_partition_empty"), Value::Bool(info.is_empty)),
    ])
}
