-- Version 6. Modules of devices, each with a twin of its own.

CREATE TABLE modules (
    hub           TEXT NOT NULL,
    device        TEXT NOT NULL,
    id            TEXT NOT NULL,
    identity_etag TEXT NOT NULL,
    twin_etag     TEXT NOT NULL,
    identity      TEXT NOT NULL,
    twin          TEXT NOT NULL,
    PRIMARY KEY (hub, device, id)
) STRICT;
