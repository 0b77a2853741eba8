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
