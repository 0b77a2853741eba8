-- Version 7. Configurations of hubs.

CREATE TABLE configurations (
    hub      TEXT NOT NULL,
    id       TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (hub, id)
) STRICT;
