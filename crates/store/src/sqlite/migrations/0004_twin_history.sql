-- Version 4. What twins and relationships were.

CREATE TABLE twin_history (
    twins        TEXT NOT NULL,
    twin         TEXT NOT NULL,    -- of a relationship its source
    relationship TEXT NOT NULL,    -- empty: the twin itself
    until        INTEGER NOT NULL, -- microseconds since 1970
    etag         TEXT NOT NULL,
    since        INTEGER NOT NULL,
    target       TEXT NOT NULL,    -- empty: the twin itself
    document     TEXT NOT NULL,
    PRIMARY KEY (twins, twin, relationship, until, etag)
) STRICT, WITHOUT ROWID;
CREATE INDEX twin_history_by_target ON twin_history (twins, target, twin, relationship);
CREATE INDEX twin_history_by_until ON twin_history (twins, until);
