CREATE TABLE pollux_schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
-- Version 1. Every table is keyed by its instance (a resource's name) first. Documents are the JSON of crate `model` as
-- text, for jsonb would not give back what was stored (order of members, large numbers); the columns beside them are
-- what expectations, filters and pages look at. Text compares by its UTF-8 bytes (COLLATE "C").
--
-- Tables whose rows change often leave room in their pages, so that a new version of a row finds place beside the old
-- one and no index is touched (heap-only tuples).

CREATE TABLE resources (
    kind     text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE devices (
    hub           text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    identity_etag text COLLATE "C" NOT NULL,
    twin_etag     text COLLATE "C" NOT NULL,
    enabled       boolean NOT NULL,
    identity      text NOT NULL,
    twin          text NOT NULL,
    PRIMARY KEY (hub, id)
) WITH (fillfactor = 80);
-- Few devices are disabled, so this index counts them at hardly any cost.
CREATE INDEX devices_disabled ON devices (hub) WHERE NOT enabled;

CREATE TABLE enrollments (
    dps      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL, -- lower case
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (dps, id)
);

CREATE TABLE enrollment_groups (
    dps      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL, -- lower case
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (dps, id)
);

CREATE TABLE registrations (
    dps              text COLLATE "C" NOT NULL,
    id               text COLLATE "C" NOT NULL, -- lower case
    enrollment_group text COLLATE "C",          -- lower case
    status           text COLLATE "C" NOT NULL,
    etag             text COLLATE "C" NOT NULL,
    document         text NOT NULL,
    PRIMARY KEY (dps, id)
) WITH (fillfactor = 80);
CREATE INDEX registrations_by_group ON registrations (dps, enrollment_group, id) WHERE enrollment_group IS NOT NULL;
-- Nearly all records are assigned: those are found by the key itself, the others here.
CREATE INDEX registrations_by_status ON registrations (dps, status, id) WHERE status <> 'assigned';

CREATE TABLE models (
    twins    text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (twins, id)
);

CREATE TABLE digital_twins (
    twins    text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    model    text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (twins, id)
) WITH (fillfactor = 80);
CREATE INDEX digital_twins_by_model ON digital_twins (twins, model, id);

CREATE TABLE relationships (
    twins    text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    target   text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (twins, source, id)
);
CREATE INDEX relationships_by_target ON relationships (twins, target, source, id);

CREATE TABLE checkpoints (
    namespace       text COLLATE "C" NOT NULL,
    event_hub       text COLLATE "C" NOT NULL,
    consumer_group  text COLLATE "C" NOT NULL,
    owner           text COLLATE "C" NOT NULL,
    partition       bigint NOT NULL,
    sequence_number bigint NOT NULL,
    position        bigint NOT NULL, -- the checkpoint's offset
    PRIMARY KEY (namespace, event_hub, consumer_group, owner, partition)
) WITH (fillfactor = 50);

CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app             text COLLATE "C" NOT NULL,
    function        text COLLATE "C" NOT NULL,
    namespace       text COLLATE "C" NOT NULL,
    event_hub       text COLLATE "C" NOT NULL,
    partition       bigint NOT NULL,
    sequence_number bigint NOT NULL,
    document        text NOT NULL,
    payload         bytea NOT NULL,
    UNIQUE (app, function, namespace, event_hub, partition, sequence_number)
);
CREATE INDEX dead_letters_by_app ON dead_letters (app, id);

CREATE TABLE secrets (
    scope    text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (scope, id)
);

-- A row is never deleted, so that its epoch never goes back.
CREATE TABLE leases (
    name    text COLLATE "C" NOT NULL PRIMARY KEY,
    owner   text COLLATE "C",    -- NULL when it was released
    epoch   bigint NOT NULL,
    expires timestamptz NOT NULL -- by this server's clock
) WITH (fillfactor = 50);

-- An id is made of a number from the sequence (one per batch), the place in the batch (12 bits) and the shard (4 bits),
-- so that one index serves both the relay of a shard and the forgetting of rows by their ids alone.
CREATE SEQUENCE outbox_batches;
CREATE TABLE outbox (
    shard           smallint NOT NULL,
    id              bigint NOT NULL,
    namespace       text COLLATE "C" NOT NULL,
    event_hub       text COLLATE "C" NOT NULL,
    partition_key   text COLLATE "C" NOT NULL,
    idempotency_key bytea NOT NULL,
    payload         bytea NOT NULL,
    PRIMARY KEY (shard, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000); -- a queue: nearly all of it is dead
-- Version 2. Jobs of digital twins instances. A job's row is written again with each batch of its work.

CREATE TABLE jobs (
    twins    text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (twins, kind, id)
) WITH (fillfactor = 50);
-- Version 3. What twins and relationships were.

CREATE TABLE twin_history (
    twins        text COLLATE "C" NOT NULL,
    twin         text COLLATE "C" NOT NULL, -- of a relationship its source
    relationship text COLLATE "C" NOT NULL, -- empty: the twin itself
    until        bigint NOT NULL,           -- microseconds since 1970
    etag         text COLLATE "C" NOT NULL,
    since        bigint NOT NULL,
    target       text COLLATE "C" NOT NULL, -- empty: the twin itself
    document     text NOT NULL,
    PRIMARY KEY (twins, twin, relationship, until, etag)
);
CREATE INDEX twin_history_by_target ON twin_history (twins, target, twin, relationship);
CREATE INDEX twin_history_by_until ON twin_history (twins, until);
-- Version 4. Messages in queues of hubs, and what MQTT connections leave to the next one. A message's row is written again
-- with each change of its state.

CREATE TABLE queued_messages (
    hub          text COLLATE "C" NOT NULL,
    queue        text COLLATE "C" NOT NULL, -- a device's id, or a word with a slash
    sequence     bigint NOT NULL,
    etag         text COLLATE "C" NOT NULL,
    expires      bigint NOT NULL,           -- microseconds since 1970
    locked_until bigint NOT NULL,           -- microseconds since 1970; 0: nobody has it
    held         boolean NOT NULL,          -- by a connection
    document     text NOT NULL,
    payload      bytea NOT NULL,
    PRIMARY KEY (hub, queue, sequence)
) WITH (fillfactor = 80);
CREATE INDEX queued_messages_by_expiry ON queued_messages (expires);

CREATE TABLE mqtt_sessions (
    hub      text COLLATE "C" NOT NULL,
    device   text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, device)
);
-- Version 5. Modules of devices, each with a twin of its own.

CREATE TABLE modules (
    hub           text COLLATE "C" NOT NULL,
    device        text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    identity_etag text COLLATE "C" NOT NULL,
    twin_etag     text COLLATE "C" NOT NULL,
    identity      text NOT NULL,
    twin          text NOT NULL,
    PRIMARY KEY (hub, device, id)
) WITH (fillfactor = 80);
-- Version 6. Scheduled jobs of hubs, and what became of them at each device. Rows are written again as a job goes on.

CREATE TABLE scheduled_jobs (
    hub      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    over     boolean NOT NULL,
    due      bigint NOT NULL,            -- microseconds since 1970
    document text NOT NULL,
    PRIMARY KEY (hub, id)
) WITH (fillfactor = 50);
CREATE INDEX scheduled_jobs_by_due ON scheduled_jobs (hub, over, due);

CREATE TABLE device_jobs (
    hub      text COLLATE "C" NOT NULL,
    job      text COLLATE "C" NOT NULL,
    device   text COLLATE "C" NOT NULL,  -- device, or device/module
    status   text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, job, device)
) WITH (fillfactor = 80);
CREATE INDEX device_jobs_by_status ON device_jobs (hub, job, status, device);
CREATE INDEX device_jobs_by_device ON device_jobs (hub, device);
-- Version 7. Configurations of hubs.

CREATE TABLE configurations (
    hub      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, id)
);

-- What connections left to devices that are gone.
DELETE FROM mqtt_sessions WHERE NOT EXISTS (SELECT 1 FROM devices WHERE devices.hub = mqtt_sessions.hub
    AND devices.id = split_part(mqtt_sessions.device, '/', 1));
-- Version 8. When devices and modules were last heard of.

CREATE TABLE device_activity (
    hub           text COLLATE "C" NOT NULL,
    device        text COLLATE "C" NOT NULL,
    -- Empty: the device itself.
    module        text COLLATE "C" NOT NULL,
    -- Microseconds since 1970.
    state_updated bigint NOT NULL,
    last          bigint NOT NULL,
    PRIMARY KEY (hub, device, module)
);
INSERT INTO checkpoints OVERRIDING SYSTEM VALUE VALUES ('events-one', 'deviceevents', '$Default', 'functions/functions-one/ingest', '3', '41', '4100');
INSERT INTO configurations OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'chiller-1', 'c1', '{"id":"chiller-1","schema_version":"1.0","labels":{"Version":"3.0 — “quoted”"},"content":{"device":{"properties.desired.chiller":{"temperature":66,"z":[null,0.5]}},"module":{"properties.desired":{"a":{}}},"modules":{"$edgeAgent":{"properties.desired.modules":{}}}},"target_condition":"tags.building = ''43''","priority":10,"metrics":{"Current":"SELECT deviceId FROM devices"},"created":"2024-05-01T10:20:31.1234560Z","last_updated":"2024-05-01T10:20:32.1234560Z","etag":"c1","pending":true,"deleted":true}');
INSERT INTO dead_letters OVERRIDING SYSTEM VALUE VALUES ('1', 'functions-one', 'ingest', 'events-one', 'deviceevents', '3', '42', '{"id":0,"app":"functions-one","function":"ingest","namespace":"events-one","event_hub":"deviceevents","partition":3,"sequence_number":42,"enqueued":"2024-05-01T10:20:39.1234560Z","failed":"2024-05-01T10:20:40.1234560Z","attempts":5,"reason":"the twin''s model has no such property"}', E'\\x005375ff');
INSERT INTO device_activity OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'Device-1', '', '1714558833123456', '1714558837123456');
INSERT INTO device_jobs OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'job-1', 'Device-1/Module-1', 'failed', '{"job":"job-1","type":"scheduleDeviceMethod","device":"Device-1/Module-1","status":"failed","created":"2024-05-01T10:21:34.1234560Z","updated":"2024-05-01T10:21:35.1234560Z","start":"2024-05-01T10:21:36.1234560Z","end":"2024-05-01T10:21:37.1234560Z","outcome":{"status":200,"payload":{"ok":true}},"error":{"code":"DeviceNotOnline","description":"away"}}');
INSERT INTO devices OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'Device-1', 'i1', 't1', 'true', '{"generation_id":"637012345678901234","etag":"i1","status":"enabled","status_reason":"why — “quoted”","status_updated":"0001-01-01T00:00:00Z","created":"2024-05-01T10:20:31.1234560Z","authentication":{"type":"sas","keys":{"primary":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","secondary":"/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/g=="}},"iot_edge":false,"provisioned_by":{"dps":"dps-one","registration_id":"device-1"}}', '{"etag":"t1","service_etag":"t0","version":3,"model_id":"dtmi:sample:Thermostat;1","tags":{"z":1,"dtmi":"dtmi:sample:Thermostat;1","a":{"deep":[1,null,"x"]}},"desired":{"properties":{"interval":0.5,"big":9007199254740993},"metadata":{"$lastUpdated":"2024-05-01T10:20:30Z","$lastUpdatedVersion":2},"version":2},"reported":{"properties":{},"metadata":{},"version":1}}');
INSERT INTO digital_twins OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'Device-1', 'dtmi:sample:Thermostat;1', 'd1', '{"id":"Device-1","model":"dtmi:sample:Thermostat;1","etag":"d1","document":{"$metadata":{"$model":"dtmi:sample:Thermostat;1","Temperature":{"lastUpdateTime":"2024-05-01T10:20:30Z"}},"Temperature":21.5,"name":"Küche 🌡"},"updated":"2024-05-01T10:20:38.1234560Z"}');
INSERT INTO digital_twins OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'room', 'dtmi:sample:Room;1', 'd1', '{"id":"room","model":"dtmi:sample:Room;1","etag":"d1","document":{"$metadata":{"$model":"dtmi:sample:Room;1","Temperature":{"lastUpdateTime":"2024-05-01T10:20:30Z"}},"Temperature":21.5,"name":"Küche 🌡"},"updated":"2024-05-01T10:20:38.1234560Z"}');
INSERT INTO enrollment_groups OVERRIDING SYSTEM VALUE VALUES ('dps-one', 'group-1', 'e1', '{"id":"Group-1","attestation":{"type":"symmetricKey","keys":{"primary":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=","secondary":"/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/A=="}},"rules":{"status":"enabled","allocation":{"policy":"custom","webhook":{"url":"https://functions-one.localhost/api/allocate?code=secret","api_version":"2019-03-31"}},"hubs":["hub-one.localhost"],"initial_twin":{"tags":{"site":"north"},"desired":{"interval":5}},"reprovision":{"update_hub_assignment":true,"migrate_device_data":false},"iot_edge":true,"etag":"e1","created":"2024-05-01T10:20:32.1234560Z","updated":"2024-05-01T10:20:33.1234560Z"}}');
INSERT INTO enrollments OVERRIDING SYSTEM VALUE VALUES ('dps-one', 'single-1', 'e1', '{"registration_id":"single-1","device_id":"device-of-Single-1","attestation":{"type":"symmetricKey","keys":{"primary":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=","secondary":"/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/Q=="}},"rules":{"status":"enabled","allocation":{"policy":"custom","webhook":{"url":"https://functions-one.localhost/api/allocate?code=secret","api_version":"2019-03-31"}},"hubs":["hub-one.localhost"],"initial_twin":{"tags":{"site":"north"},"desired":{"interval":5}},"reprovision":{"update_hub_assignment":true,"migrate_device_data":false},"iot_edge":true,"etag":"e1","created":"2024-05-01T10:20:32.1234560Z","updated":"2024-05-01T10:20:33.1234560Z"},"optional_device_information":{"note":"front door"}}');
INSERT INTO jobs OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'imports', 'import-1', 'j1', E'{"id":"import-1","kind":"imports","status":"running","etag":"j1","input":"https://storage.example/in/graph.ndjson?sig=secret","output":"https://storage.example/out/log.ndjson?sig=secret","created":"2024-05-01T10:21:10.1234560Z","last_action":"2024-05-01T10:21:11.1234560Z","finished":"2024-05-01T10:21:12.1234560Z","purge":"2024-05-01T10:21:13.1234560Z","deadline":"2024-05-01T10:21:14.1234560Z","error":{"code":"ValidationFailed","message":"not all"},"progress":{"section":"Twins","offset":1000000,"line":20000,"input_etag":"\\"0x8D\\"","models":1,"twins":2,"relationships":3,"unchanged":4,"failed":5,"failed_in_section":6}}');

INSERT INTO models OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'dtmi:sample:Thermostat;1', '{"id":"dtmi:sample:Thermostat;1","document":{"@id":"dtmi:sample:Thermostat;1","@type":"Interface","@context":"dtmi:dtdl:context;2","contents":[]},"uploaded":"2024-05-01T10:20:37.1234560Z","decommissioned":false}');
INSERT INTO modules OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'Device-1', 'Module-1', 'i1', 't1', '{"generation_id":"637012345678901234","etag":"i1","status":"enabled","status_reason":"why — “quoted”","status_updated":"0001-01-01T00:00:00Z","created":"2024-05-01T10:20:31.1234560Z","authentication":{"type":"sas","keys":{"primary":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","secondary":"/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/g=="}},"iot_edge":false,"provisioned_by":null,"managed_by":"IotEdge"}', '{"etag":"t1","service_etag":"t0","version":3,"model_id":"dtmi:sample:Thermostat;1","tags":{"z":1,"dtmi":"dtmi:sample:Thermostat;1","a":{"deep":[1,null,"x"]}},"desired":{"properties":{"interval":0.5,"big":9007199254740993},"metadata":{"$lastUpdated":"2024-05-01T10:20:30Z","$lastUpdatedVersion":2},"version":2},"reported":{"properties":{},"metadata":{},"version":1}}');
INSERT INTO mqtt_sessions OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'Device-1', '{"device":"Device-1","subscriptions":[["devices/Device-1/messages/devicebound/#",1]]}');
INSERT INTO outbox OVERRIDING SYSTEM VALUE VALUES ('4', '65540', 'events-one', 'deviceevents', 'device-1', E'\\x0000000000000001a5a5a5a5a5a5a5a5', E'\\x0000000000000001');
INSERT INTO pollux_schema OVERRIDING SYSTEM VALUE VALUES ('true', '8');
INSERT INTO queued_messages OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'Device-1', '7', 'q1', '1714562480123456', '1714558940123456', 'true', '{"queue":"Device-1","sequence":7,"etag":"q1","enqueued":"2024-05-01T10:21:20.1234560Z","expires":"2024-05-01T11:21:20.1234560Z","lock":{"until":"2024-05-01T10:22:20.1234560Z","by":"connection"},"delivery_count":2,"ack":"full","generation_id":"638501","system":{"message_id":"m-1","correlation_id":"c-1","user_id":"operator","content_type":"application/json","content_encoding":"utf-8","expiry":"2024-05-01T11:21:20.1234560Z"},"properties":[["Größe","10 °C"],["b",""]]}', E'\\x00ff7b');
INSERT INTO registrations OVERRIDING SYSTEM VALUE VALUES ('dps-one', 'device-1', 'group-1', 'assigned', 'g1', '{"registration_id":"device-1","displayed_id":"Device-1","group":"Group-1","status":"assigned","substatus":"initialAssignment","assigned_hub":"hub-one.localhost","device_id":"Device-1","failure":{"code":400207,"message":"the webhook said 500: oh"},"payload":{"from":"webhook","n":1.25},"operation":{"id":"5.1234.abcd","started":"2024-05-01T10:20:34.1234560Z","payload":{"modelId":"dtmi:sample:Thermostat;1"},"force":true},"created":"2024-05-01T10:20:35.1234560Z","updated":"2024-05-01T10:20:36.1234560Z","etag":"g1"}');
INSERT INTO relationships OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'room', 'r1', 'Device-1', 'contains', 'l1', '{"id":"r1","source":"room","target":"Device-1","name":"contains","etag":"l1","properties":{"since":2020},"updated":"1970-01-01T00:00:00Z"}');
INSERT INTO resources OVERRIDING SYSTEM VALUE VALUES ('dps', 'dps-one', 'r1', '{"name":"dps-one","group":"group-one","host_name":"dps-one.localhost","created":"2024-05-01T10:20:30.1234560Z","etag":"r1","properties":{"kind":"dps","id_scope":"0ne00A1B2C3","policies":[{"name":"provisioningserviceowner","keys":{"primary":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","secondary":"+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+A=="},"rights":["ServiceConfig","DeviceConnect"]}],"linked_hubs":[{"hub":"hub-one","allocation_weight":1000,"apply_allocation_policy":true}],"certificates":[]}}');
INSERT INTO resources OVERRIDING SYSTEM VALUE VALUES ('hub', 'hub-one', 'r1', '{"name":"hub-one","group":"group-one","host_name":"hub-one.localhost","created":"2024-05-01T10:20:30.1234560Z","etag":"r1","properties":{"kind":"hub","policies":[{"name":"iothubowner","keys":{"primary":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","secondary":"+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+A=="},"rights":["RegistryWrite","ServiceConnect"]}],"endpoints":[{"name":"deviceevents","namespace":"events-one","event_hub":"deviceevents"}],"routes":[{"name":"lifecycle","source":"DeviceLifecycleEvents","condition":"opType=''deleteDeviceIdentity''","endpoint":"deviceevents","enabled":true}],"events":{"partitions":4,"retention_hours":24,"retention_bytes":null,"consumer_groups":["$Default"]},"fallback_route":true,"cloud_to_device":{"defaultTtlAsIso8601":"PT1H","maxDeliveryCount":10,"feedback":{"lockDurationAsIso8601":"PT1M","ttlAsIso8601":"PT1H","maxDeliveryCount":10}}}}');
INSERT INTO resources OVERRIDING SYSTEM VALUE VALUES ('events', 'events-one', 'r1', '{"name":"events-one","group":"group-one","host_name":"events-one.localhost","created":"2024-05-01T10:20:30.1234560Z","etag":"r1","properties":{"kind":"events","policies":[{"name":"RootManageSharedAccessKey","keys":{"primary":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","secondary":"+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+A=="},"rights":["Manage"]}],"event_hubs":[{"name":"deviceevents","partitions":4,"retention_hours":24,"retention_bytes":1073741824,"consumer_groups":["$Default","ingest"],"policies":[{"name":"listen","keys":{"primary":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","secondary":"+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+A=="},"rights":["Listen"]}]}]}}');
INSERT INTO resources OVERRIDING SYSTEM VALUE VALUES ('twins', 'twins-one', 'r1', '{"name":"twins-one","group":"group-one","host_name":"twins-one.localhost","created":"2024-05-01T10:20:30.1234560Z","etag":"r1","properties":{"kind":"twins","history":null,"consistency":"strong","endpoints":[],"event_routes":[]}}');
INSERT INTO resources OVERRIDING SYSTEM VALUE VALUES ('functions', 'functions-one', 'r1', '{"name":"functions-one","group":"group-one","host_name":"functions-one.localhost","created":"2024-05-01T10:20:30.1234560Z","etag":"r1","properties":{"kind":"functions","keys":{"primary":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=","secondary":"9vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb29g=="},"settings":{"ADT_SERVICE_URL":"https://twins-one.localhost"},"mapping":[{"model":"dtmi:sample:Thermostat;1","field":"/climate/temp","property":"/Temperature"}]}}');
INSERT INTO scheduled_jobs OVERRIDING SYSTEM VALUE VALUES ('hub-one', 'job-1', 's1', 'false', '1714558893123456', '{"id":"job-1","etag":"s1","work":{"type":"deviceMethod","name":"reboot","payload":{"in":[1,null,"é"]},"responseTimeout":20,"connectTimeout":0},"queryCondition":"tags.floor = ''G''","status":"running","created":"2024-05-01T10:21:30.1234560Z","start":"2024-05-01T10:21:31.1234560Z","maxExecutionSeconds":3600,"ended":"2024-05-01T10:21:32.1234560Z","purge":"2024-05-01T10:21:33.1234560Z","failureReason":"why","statistics":{"devices":10,"failed":1,"succeeded":2,"running":3,"pending":4},"selection":{"after":"d"}}');
INSERT INTO secrets OVERRIDING SYSTEM VALUE VALUES ('issuer-key', 'k1', 's1', E'{"scope":"issuer-key","id":"k1","value":"{\\"k\\":\\"c2VjcmV0\\"}","etag":"s1","created":"2024-05-01T10:20:41.1234560Z"}');
INSERT INTO twin_history OVERRIDING SYSTEM VALUE VALUES ('twins-one', 'room', '', '1714558838123456', 'd0', '1714558832123456', '', '{"twin":{"id":"room","model":"dtmi:m;1","etag":"d0","document":{"$metadata":{"$model":"dtmi:m;1","Temperature":{"lastUpdateTime":"2024-05-01T10:20:30Z"}},"Temperature":21.5,"name":"Küche 🌡"},"updated":"2024-05-01T10:20:32.1234560Z"},"until":"2024-05-01T10:20:38.1234560Z","deleted":false}');
SELECT setval('outbox_batches', 100), setval('dead_letters_id_seq', 100);
