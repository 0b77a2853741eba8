-- Version 6. Configurations of hubs.

CREATE TABLE configurations (
    hub      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, id)
);
