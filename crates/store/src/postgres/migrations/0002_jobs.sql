-- Version 2. Jobs of digital twins instances. A job's row is written again with each batch of its work.

CREATE TABLE jobs (
    twins    text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (twins, kind, id)
) WITH (fillfactor = 50);
