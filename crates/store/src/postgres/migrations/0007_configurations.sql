-- Version 7. Configurations of hubs.

CREATE TABLE configurations (
    hub      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, id)
);

-- What connections left to devices that are gone.
DELETE FROM mqtt_sessions WHERE NOT EXISTS (SELECT 1 FROM devices WHERE devices.hub = mqtt_sessions.hub
    AND devices.id = split_part(mqtt_sessions.device, '/', 1));
