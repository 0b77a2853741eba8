use pollux_amqp::Message;
use pollux_eventlog::{ReadFrom, ReadLimit, Record, StreamName};
use pollux_model::resource::{EventRoute, ResourceKind};

use super::*;
use crate::fixture;
use crate::resources::declared::{DeclaredEndpoint, DeclaredEventHub};
use crate::trace::Trace;
use crate::twins::{PatchComponent, PatchRelationship, PublishTelemetry};

/// All services, with an event hub of one partition and an endpoint that leads there.
struct Routed {
    world: fixture::World,
    admin: Caller,
    instance: ResourceName,
}

/// What an event is: type, subject, data.
type Told = (String, Option<String>, Value);

impl Routed {
    async fn new(filter: &str) -> Self {
        let world = fixture::World::new().await;
        let (admin, instance) = (Caller::admin(), ResourceName::parse("twins1").unwrap());
        let resources = &world.services.resources;
        let event_hub = DeclaredEventHub { name: "told".into(), partitions: Some(1), ..Default::default() };
        let namespace = ResourceName::parse("events1").unwrap();
        resources.put_event_hub(&admin, &namespace, event_hub).await.unwrap();
        let endpoint = DeclaredEndpoint {
            name: "own".into(),
            namespace: Some("events1".into()),
            event_hub: Some("told".into()),
            ..Default::default()
        };
        resources.put_endpoint(&admin, (ResourceKind::Twins, &instance), endpoint).await.unwrap();
        world.services.twins.create_models(&admin, &instance, models()).await.unwrap();
        let routed = Self { world, admin, instance };
        routed.route("r", "own", filter).await.unwrap();
        routed
    }

    async fn route(&self, id: &str, endpoint: &str, filter: &str) -> Result<(), Error> {
        let route = EventRoute { id: id.into(), endpoint: endpoint.into(), filter: filter.into() };
        self.world.services.resources.put_event_route(&self.admin, &self.instance, route).await
    }

    fn twins(&self) -> &Twins {
        &self.world.services.twins
    }

    async fn put(&self, id: &str, document: Value) {
        let put = PutTwin { id: id.into(), document, if_none_match: false };
        self.twins().put_twin(&self.admin, &self.instance, put).await.unwrap();
    }

    async fn relate(&self, source: &str, id: &str, document: Value) {
        let put = PutRelationship { source: source.into(), id: id.into(), document, if_none_match: false };
        self.twins().put_relationship(&self.admin, &self.instance, put).await.unwrap();
    }

    /// What was stored, in order, once the outbox is empty.
    async fn messages(&self) -> Vec<(Record, Message)> {
        let services = &self.world.services;
        while services.events.relay(0).await.unwrap() > 0 {}
        let (stream, limit) =
            (StreamName::new("events1/told").unwrap(), ReadLimit { records: 1000, bytes: 1 << 24 });
        let read = services.context.log.read(&stream, 0, &ReadFrom::Earliest, limit).await.unwrap();
        let decoded = |record: Record| {
            let message = Message::decode(record.payload.clone()).unwrap();
            (record, message)
        };
        read.into_iter().map(decoded).collect()
    }

    async fn told(&self) -> Vec<Told> {
        let told = |(_, message): (Record, Message)| {
            let data = serde_json::from_slice(&message.body.as_bytes().unwrap()).unwrap();
            (attribute(&message, "type").unwrap(), attribute(&message, "subject"), data)
        };
        self.messages().await.into_iter().map(told).collect()
    }
}

fn attribute(message: &Message, name: &str) -> Option<String> {
    let name = format!("cloudEvents:{name}");
    let found = message.application_properties.0.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| value.as_str().unwrap().to_owned())
}

/// Types without what they have in common, and subjects.
fn kinds(told: &[Told]) -> Vec<(&str, &str)> {
    let short = |kind: &'_ str| kind.strip_prefix("Microsoft.DigitalTwins.").map_or(kind.len(), str::len);
    told.iter()
        .map(|(kind, subject, _)| (&kind[kind.len() - short(kind)..], subject.as_deref().unwrap_or_default()))
        .collect()
}

fn patch(id: &str, patch: Value) -> PatchTwin {
    PatchTwin { id: id.into(), patch, if_match: None }
}

#[tokio::test]
async fn each_change_of_a_twin_is_told_with_it() {
    let routed = Routed::new("true").await;
    let (twins, admin, instance) = (routed.twins(), &routed.admin, &routed.instance);
    routed
        .put("r1", json!({ "$metadata": { "$model": ROOM }, "Name": "a", "sensor": { "$metadata": {} } }))
        .await;
    let add = json!([{ "op": "add", "path": "/Temperature", "value": 21.5 }]);
    twins.patch_twin(admin, instance, patch("r1", add)).await.unwrap();
    let level = json!([{ "op": "add", "path": "/Value", "value": 1 }]);
    let component =
        PatchComponent { twin: "r1".into(), component: "sensor".into(), patch: level, if_match: None };
    twins.patch_component(admin, instance, component).await.unwrap();
    let replaced = json!({ "$metadata": { "$model": ROOM }, "Name": "b", "sensor": { "$metadata": {} } });
    routed.put("r1", replaced).await;
    let last = twins.get_twin(admin, instance, "r1").await.unwrap();
    twins.delete_twin(admin, instance, "r1", None).await.unwrap();

    let told = routed.told().await;
    let all = ["Twin.Create", "Twin.Update", "Twin.Update", "Twin.Update", "Twin.Delete"];
    assert_eq!(kinds(&told), all.map(|kind| (kind, "r1")));
    assert_eq!((&told[0].2["$dtId"], &told[0].2["Name"]), (&json!("r1"), &json!("a")));
    assert!(told[0].2["$etag"].as_str().unwrap().starts_with("W/\""));
    let update = |patch: Value| json!({ "modelId": ROOM, "patch": patch });
    assert_eq!(told[1].2, update(json!([{ "value": 21.5, "path": "/Temperature", "op": "add" }])));
    assert_eq!(told[2].2, update(json!([{ "value": 1, "path": "/sensor/Value", "op": "add" }])));
    let replacement = json!([
        { "path": "/Temperature", "op": "remove" },
        { "value": "b", "path": "/Name", "op": "replace" },
        { "path": "/sensor/Value", "op": "remove" },
    ]);
    assert_eq!(told[3].2, update(replacement));
    assert_eq!(told[4].2, crate::twins::twin_document(&last));
}

#[tokio::test]
async fn relationships_are_told_of_and_so_is_each_that_goes_with_a_twin() {
    let routed = Routed::new("NOT type = 'Microsoft.DigitalTwins.Twin.Create'").await;
    let (twins, admin, instance) = (routed.twins(), &routed.admin, &routed.instance);
    for id in ["a", "b", "c"] {
        routed.put(id, floor()).await;
    }
    for id in ["r", "s"] {
        routed.put(id, room()).await;
    }
    let contains = |target: &str| json!({ "$relationshipName": "contains", "$targetId": target });
    let above = |target: &str| json!({ "$relationshipName": "above", "$targetId": target });
    let mut with_since = contains("r");
    with_since["since"] = json!(1);
    routed.relate("a", "x", with_since).await;
    let change = PatchRelationship {
        source: "a".into(),
        id: "x".into(),
        patch: json!([{ "op": "replace", "path": "/since", "value": 2 }]),
        if_match: None,
    };
    twins.patch_relationship(admin, instance, change).await.unwrap();
    routed.relate("a", "x", contains("s")).await;
    twins.delete_relationship(admin, instance, "a", "x", None).await.unwrap();
    routed.relate("a", "y", above("b")).await;
    routed.relate("b", "z", above("c")).await;
    twins.delete_twin_with_relationships(admin, instance, "b", None).await.unwrap();

    let told = routed.told().await;
    let expected = [
        ("Relationship.Create", "a/relationships/x"),
        ("Relationship.Update", "a/relationships/x"),
        ("Relationship.Update", "a/relationships/x"),
        ("Relationship.Delete", "a/relationships/x"),
        ("Relationship.Create", "a/relationships/y"),
        ("Relationship.Create", "b/relationships/z"),
        ("Relationship.Delete", "b/relationships/z"),
        ("Relationship.Delete", "a/relationships/y"),
        ("Twin.Delete", "b"),
    ];
    assert_eq!(kinds(&told), expected);
    assert_eq!((&told[0].2["$targetId"], &told[0].2["since"]), (&json!("r"), &json!(1)));
    let patch = json!([{ "value": 2, "path": "/since", "op": "replace" }]);
    assert_eq!(told[1].2, json!({ "modelId": FLOOR, "patch": patch }));
    let replacement = json!([
        { "value": "s", "path": "/$targetId", "op": "replace" },
        { "path": "/since", "op": "remove" },
    ]);
    assert_eq!(told[2].2["patch"], replacement);
    assert_eq!(told[3].2["$targetId"], "s");
}

#[tokio::test]
async fn attributes_are_those_of_the_article() {
    let routed = Routed::new("true").await;
    routed.put("r 1", room()).await;
    let publish = async |component: Option<&str>, time: Option<&str>, payload: &'static str| {
        let telemetry = PublishTelemetry {
            twin: "r 1".into(),
            component: component.map(Into::into),
            message_id: "m 1".into(),
            source_time: time.map(Into::into),
            payload: payload.into(),
        };
        routed.twins().publish_telemetry(&routed.admin, &routed.instance, telemetry).await
    };
    publish(None, Some("2020-11-25 10:03:54.074027"), r#"{ "big": 12345678901234567890.10 }"#).await.unwrap();
    publish(Some("sensor"), None, "[1]").await.unwrap();
    assert_eq!(code(publish(None, None, "{").await), ErrorCode::InvalidArgument);

    let messages = routed.messages().await;
    let (record, created) = &messages[2]; // telemetry does not wait for the outbox
    assert_eq!(record.partition_key.as_deref(), Some("r 1"));
    let host = &routed.world.resource(ResourceKind::Twins, "twins1").host_name;
    let now = pollux_model::Clock::now(&*routed.world.clock).to_string();
    let of = |name: &str| attribute(created, name);
    assert_eq!((of("source"), of("time")), (Some(host.clone()), Some(now.clone())));
    assert_eq!(
        (of("specversion"), of("datacontenttype")),
        (Some("1.0".into()), Some("application/json".into()))
    );
    assert_eq!((of("dataschema"), of("id").map(|id| id.len())), (None, Some(36)));
    let trace = of("traceparent").unwrap();
    assert!(trace.starts_with("00-") && trace.ends_with("-01") && trace.len() == 55, "{trace}");
    assert_eq!(
        created.properties.as_ref().unwrap().content_type.as_ref().unwrap().as_str(),
        "application/json"
    );

    let (record, telemetry) = &messages[0];
    assert_eq!(record.partition_key.as_deref(), Some("r 1"));
    let of = |name: &str| attribute(telemetry, name);
    assert_eq!((of("id"), of("subject")), (Some("m 1".into()), None));
    assert_eq!(of("source"), Some(format!("{host}/digitaltwins/r%201")));
    assert_eq!(
        (of("time"), of("dataschema")),
        (Some("2020-11-25 10:03:54.074027".into()), Some(ROOM.into()))
    );
    assert_eq!(telemetry.body.as_bytes().unwrap(), r#"{ "big": 12345678901234567890.10 }"#, "as it was sent");
    let (_, telemetry) = &messages[1];
    let of = |name: &str| attribute(telemetry, name);
    assert_eq!((of("subject"), of("dataschema")), (Some("sensor".into()), Some(SENSOR.into())));
    assert_eq!(of("time"), Some(now));
}

/// OpenAPI of digital twins: "Identifies the request in a distributed tracing system."
#[tokio::test]
async fn what_is_told_is_part_of_the_callers_trace() {
    let mut routed = Routed::new("true").await;
    let (id, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    routed.admin = Caller::admin().within(Trace::read(&format!("00-{id}-{span}-00"), Some("rojo=1")));
    for id in ["a", "b"] {
        routed.put(id, floor()).await;
    }
    routed.relate("a", "x", json!({ "$relationshipName": "above", "$targetId": "b" })).await;
    let (twins, admin, instance) = (routed.twins(), &routed.admin, &routed.instance);
    let set = || json!([{ "op": "add", "path": "/Level", "value": 1 }]);
    twins.patch_twin(admin, instance, patch("a", set())).await.unwrap();
    let telemetry = PublishTelemetry {
        twin: "a".into(),
        component: None,
        message_id: "m".into(),
        source_time: None,
        payload: "1".into(),
    };
    twins.publish_telemetry(admin, instance, telemetry).await.unwrap();
    twins.delete_relationship(admin, instance, "a", "x", None).await.unwrap();
    twins.delete_twin(admin, instance, "a", None).await.unwrap();
    let messages = routed.messages().await;
    assert_eq!(messages.len(), 7);
    for (_, message) in messages {
        let trace = attribute(&message, "traceparent").unwrap();
        assert!(trace.starts_with(&format!("00-{id}-")) && trace.ends_with("-00"), "{trace}");
        assert!(trace.len() == 55 && !trace.contains(span), "{trace}");
        assert_eq!(attribute(&message, "tracestate").as_deref(), Some("rojo=1"));
    }
}

#[tokio::test]
async fn a_change_that_is_refused_is_not_told_and_filters_choose() {
    let routed = Routed::new("type = 'Microsoft.DigitalTwins.Twin.Update' AND subject = 'r2'").await;
    let (twins, admin, instance) = (routed.twins(), &routed.admin, &routed.instance);
    for id in ["r1", "r2"] {
        routed.put(id, room()).await;
        let set = json!([{ "op": "add", "path": "/Name", "value": id }]);
        twins.patch_twin(admin, instance, patch(id, set)).await.unwrap();
        let bad = json!([{ "op": "add", "path": "/Name", "value": 7 }]);
        assert_eq!(
            code(twins.patch_twin(admin, instance, patch(id, bad)).await),
            ErrorCode::ValidationFailed
        );
    }
    assert_eq!(kinds(&routed.told().await), [("Twin.Update", "r2")]);
    // A second route to the same endpoint tells nothing twice; one that is changed is changed at once.
    routed.route("again", "own", "true").await.unwrap();
    twins.delete_twin(admin, instance, "r1", None).await.unwrap();
    assert_eq!(routed.told().await.len(), 2);
    routed.route("again", "own", "false").await.unwrap();
    twins.delete_twin(admin, instance, "r2", None).await.unwrap();
    assert_eq!(routed.told().await.len(), 2);
}

#[tokio::test]
async fn event_routes_are_checked_listed_and_deleted() {
    let routed = Routed::new("true").await;
    let (twins, admin, instance) = (routed.twins(), &routed.admin, &routed.instance);
    let refused = routed.route("r2", "none", "true").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::EventRouteEndpointInvalid);
    let refused = routed.route("r2", "own", "true AND\n  typ = 1").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::EventRouteFilterInvalid);
    assert!(refused.message.contains("Line=2, Position=2, Message="), "{}", refused.message);
    for id in ["", "a b", &"x".repeat(129)] {
        assert_eq!(code(routed.route(id, "own", "true").await), ErrorCode::EventRouteIdInvalid, "{id}");
    }
    for number in 2..=6 {
        routed.route(&format!("r{number}"), "own", "true").await.unwrap();
    }
    assert_eq!(code(routed.route("r7", "own", "true").await), ErrorCode::QuotaExceeded);
    let (mut ids, mut continuation) = (Vec::new(), None);
    loop {
        let paging = crate::twins::Paging { continuation, limit: Some(4) };
        let page = twins.event_routes(admin, instance, paging).await.unwrap();
        ids.extend(page.items.into_iter().map(|route| route.id));
        continuation = page.continuation;
        if continuation.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["r", "r2", "r3", "r4", "r5", "r6"]);
    assert_eq!(twins.event_route(admin, instance, "r2").unwrap().endpoint, "own");

    let resources = &routed.world.services.resources;
    let holder = (ResourceKind::Twins, instance);
    assert_eq!(code(resources.delete_endpoint(admin, holder, "own").await), ErrorCode::ResourceInUse);
    let namespace = ResourceName::parse("events1").unwrap();
    assert_eq!(code(resources.delete_event_hub(admin, &namespace, "told").await), ErrorCode::ResourceInUse);
    for id in ids {
        resources.delete_event_route(admin, instance, &id).await.unwrap();
    }
    assert_eq!(code(resources.delete_event_route(admin, instance, "r").await), ErrorCode::EventRouteNotFound);
    assert_eq!(code(twins.event_route(admin, instance, "r").map(drop)), ErrorCode::EventRouteNotFound);
    resources.delete_endpoint(admin, holder, "own").await.unwrap();
    let nobody = Caller::own(crate::caller::Identity::Admin);
    let route = EventRoute { id: "r".into(), endpoint: "own".into(), filter: "true".into() };
    assert_eq!(code(resources.put_event_route(&nobody, instance, route).await), ErrorCode::Forbidden);
}
