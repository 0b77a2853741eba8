-- Version 9. When devices and modules were last heard of.

CREATE TABLE device_activity (
    hub           TEXT NOT NULL,
    device        TEXT NOT NULL,
    -- Empty: the device itself.
    module        TEXT NOT NULL,
    -- Microseconds since 1970.
    state_updated INTEGER NOT NULL,
    last          INTEGER NOT NULL,
    PRIMARY KEY (hub, device, module)
) STRICT, WITHOUT ROWID;
