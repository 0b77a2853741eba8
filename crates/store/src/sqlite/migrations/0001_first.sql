-- Version 1. Every table is keyed by its instance (a resource's name) first. Documents are the JSON of crate `model`;
-- the columns beside them are what expectations, filters and pages look at, and repeat what the document says.
-- Text compares by its UTF-8 bytes. WITHOUT ROWID where rows are small; large documents stay in a rowid table, so that
-- the index of the keys stays dense.

CREATE TABLE resources (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

CREATE TABLE devices (
    hub           TEXT NOT NULL,
    id            TEXT NOT NULL,
    identity_etag TEXT NOT NULL,
    twin_etag     TEXT NOT NULL,
    enabled       INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    twin          TEXT NOT NULL,
    PRIMARY KEY (hub, id)
) STRICT;
-- Few devices are disabled, so this index counts them at hardly any cost.
CREATE INDEX devices_disabled ON devices (hub) WHERE enabled = 0;

CREATE TABLE enrollments (
    dps      TEXT NOT NULL,
    id       TEXT NOT NULL, -- lower case
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (dps, id)
) STRICT;

CREATE TABLE enrollment_groups (
    dps      TEXT NOT NULL,
    id       TEXT NOT NULL, -- lower case
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (dps, id)
) STRICT;

CREATE TABLE registrations (
    dps              TEXT NOT NULL,
    id               TEXT NOT NULL, -- lower case
    enrollment_group TEXT,          -- lower case
    status           TEXT NOT NULL,
    etag             TEXT NOT NULL,
    document         TEXT NOT NULL,
    PRIMARY KEY (dps, id)
) STRICT;
CREATE INDEX registrations_by_group ON registrations (dps, enrollment_group, id) WHERE enrollment_group IS NOT NULL;
-- Nearly all records are assigned: those are found by the key itself, the others here.
CREATE INDEX registrations_by_status ON registrations (dps, status, id) WHERE status <> 'assigned';

CREATE TABLE models (
    twins    TEXT NOT NULL,
    id       TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (twins, id)
) STRICT;

CREATE TABLE digital_twins (
    twins    TEXT NOT NULL,
    id       TEXT NOT NULL,
    model    TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (twins, id)
) STRICT;
CREATE INDEX digital_twins_by_model ON digital_twins (twins, model, id);

CREATE TABLE relationships (
    twins    TEXT NOT NULL,
    source   TEXT NOT NULL,
    id       TEXT NOT NULL,
    target   TEXT NOT NULL,
    name     TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (twins, source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX relationships_by_target ON relationships (twins, target, source, id);

CREATE TABLE checkpoints (
    namespace       TEXT NOT NULL,
    event_hub       TEXT NOT NULL,
    consumer_group  TEXT NOT NULL,
    owner           TEXT NOT NULL,
    partition       INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    position        INTEGER NOT NULL, -- the checkpoint's offset
    PRIMARY KEY (namespace, event_hub, consumer_group, owner, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    app             TEXT NOT NULL,
    function        TEXT NOT NULL,
    namespace       TEXT NOT NULL,
    event_hub       TEXT NOT NULL,
    partition       INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    document        TEXT NOT NULL,
    payload         BLOB NOT NULL,
    UNIQUE (app, function, namespace, event_hub, partition, sequence_number)
) STRICT;
CREATE INDEX dead_letters_by_app ON dead_letters (app, id);

CREATE TABLE secrets (
    scope    TEXT NOT NULL,
    id       TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT;

-- Row numbers are never used twice: their order is the order of the commits.
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace       TEXT NOT NULL,
    event_hub       TEXT NOT NULL,
    partition_key   TEXT NOT NULL,
    idempotency_key BLOB NOT NULL,
    payload         BLOB NOT NULL
) STRICT;

-- Written to when the store is asked whether it can commit again after a failure.
CREATE TABLE probe (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, count) VALUES (1, 0);
