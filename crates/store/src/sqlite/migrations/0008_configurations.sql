-- Version 7. Configurations of hubs.

CREATE TABLE configurations (
    hub      TEXT NOT NULL,
    id       TEXT NOT NULL,
    etag     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (hub, id)
) STRICT;

-- What connections left to devices that are gone.
DELETE FROM mqtt_sessions WHERE NOT EXISTS (SELECT 1 FROM devices WHERE devices.hub = mqtt_sessions.hub
    AND devices.id = substr(mqtt_sessions.device, 1, instr(mqtt_sessions.device || '/', '/') - 1));
