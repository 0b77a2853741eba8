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
