-- Version 2. Leases. A row is never deleted, so that its epoch never goes back.

CREATE TABLE leases (
    name    TEXT NOT NULL PRIMARY KEY,
    owner   TEXT,             -- NULL when it was released
    epoch   INTEGER NOT NULL,
    expires INTEGER NOT NULL  -- milliseconds since 1970 by SQLite's clock
) STRICT, WITHOUT ROWID;
