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
