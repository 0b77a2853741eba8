-- Version 4. Messages in queues of hubs, and what MQTT connections leave to the next one. A message's row is written again
-- with each change of its state.

CREATE TABLE queued_messages (
    hub          text COLLATE "C" NOT NULL,
    queue        text COLLATE "C" NOT NULL, -- a device's id, or a word with a slash
    sequence     bigint NOT NULL,
    etag         text COLLATE "C" NOT NULL,
    expires      bigint NOT NULL,           -- microseconds since 1970
    locked_until bigint NOT NULL,           -- microseconds since 1970; 0: nobody has it
    held         boolean NOT NULL,          -- by a connection
    document     text NOT NULL,
    payload      bytea NOT NULL,
    PRIMARY KEY (hub, queue, sequence)
) WITH (fillfactor = 80);
CREATE INDEX queued_messages_by_expiry ON queued_messages (expires);

CREATE TABLE mqtt_sessions (
    hub      text COLLATE "C" NOT NULL,
    device   text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, device)
);
