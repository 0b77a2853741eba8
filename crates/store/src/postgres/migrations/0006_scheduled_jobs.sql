-- Version 6. Scheduled jobs of hubs, and what became of them at each device. Rows are written again as a job goes on.

CREATE TABLE scheduled_jobs (
    hub      text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    etag     text COLLATE "C" NOT NULL,
    over     boolean NOT NULL,
    due      bigint NOT NULL,            -- microseconds since 1970
    document text NOT NULL,
    PRIMARY KEY (hub, id)
) WITH (fillfactor = 50);
CREATE INDEX scheduled_jobs_by_due ON scheduled_jobs (hub, over, due);

CREATE TABLE device_jobs (
    hub      text COLLATE "C" NOT NULL,
    job      text COLLATE "C" NOT NULL,
    device   text COLLATE "C" NOT NULL,  -- device, or device/module
    status   text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (hub, job, device)
) WITH (fillfactor = 80);
CREATE INDEX device_jobs_by_status ON device_jobs (hub, job, status, device);
CREATE INDEX device_jobs_by_device ON device_jobs (hub, device);
