-- Version 7. Scheduled jobs of hubs, and what became of them at each device.

CREATE TABLE scheduled_jobs (
    hub      TEXT NOT NULL,
    id       TEXT NOT NULL,
    etag     TEXT NOT NULL,
    over     INTEGER NOT NULL, -- 0 or 1
    due      INTEGER NOT NULL, -- microseconds since 1970
    document TEXT NOT NULL,
    PRIMARY KEY (hub, id)
) STRICT;
CREATE INDEX scheduled_jobs_by_due ON scheduled_jobs (hub, over, due);

CREATE TABLE device_jobs (
    hub      TEXT NOT NULL,
    job      TEXT NOT NULL,
    device   TEXT NOT NULL,    -- device, or device/module
    status   TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (hub, job, device)
) STRICT;
CREATE INDEX device_jobs_by_status ON device_jobs (hub, job, status, device);
CREATE INDEX device_jobs_by_device ON device_jobs (hub, device);
