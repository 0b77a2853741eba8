-- Version 8. When devices and modules were last heard of.

CREATE TABLE device_activity (
    hub           text COLLATE "C" NOT NULL,
    device        text COLLATE "C" NOT NULL,
    -- Empty: the device itself.
    module        text COLLATE "C" NOT NULL,
    -- Microseconds since 1970.
    state_updated bigint NOT NULL,
    last          bigint NOT NULL,
    PRIMARY KEY (hub, device, module)
);
