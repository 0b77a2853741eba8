-- Version 5. Messages in queues of hubs, and what MQTT connections leave to the next one.

CREATE TABLE queued_messages (
    hub          TEXT NOT NULL,
    queue        TEXT NOT NULL,    -- a device's id, or a word with a slash
    sequence     INTEGER NOT NULL,
    etag         TEXT NOT NULL,
    expires      INTEGER NOT NULL, -- microseconds since 1970
    locked_until INTEGER NOT NULL, -- microseconds since 1970; 0: nobody has it
    held         INTEGER NOT NULL, -- by a connection
    document     TEXT NOT NULL,
    payload      BLOB NOT NULL,
    PRIMARY KEY (hub, queue, sequence)
) STRICT;
CREATE INDEX queued_messages_by_expiry ON queued_messages (expires);

CREATE TABLE mqtt_sessions (
    hub      TEXT NOT NULL,
    device   TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (hub, device)
) STRICT, WITHOUT ROWID;
