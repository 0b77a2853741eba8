-- Version 3. Jobs of digital twins instances.

CREATE TABLE jobs (
    twins    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (twins, kind, id)
) STRICT;
