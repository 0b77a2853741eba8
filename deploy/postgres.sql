-- The role and the database of a Pollux deployment, with the least rights it can work with. Run by an administrator
-- with psql 15 or later; the server may be PostgreSQL 13 or later:
--
--   POLLUX_DATABASE_PASSWORD=… psql --host=… --username=postgres --file=deploy/postgres.sql
--
-- Pollux makes its tables itself, under an advisory lock. It needs no extension and no right outside its database.
\set ON_ERROR_STOP on
\getenv password POLLUX_DATABASE_PASSWORD
\if :{?password}
\else
  DO $$ BEGIN RAISE EXCEPTION 'POLLUX_DATABASE_PASSWORD is not set'; END $$;
\endif

CREATE ROLE pollux LOGIN PASSWORD :'password'
  NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT;

-- Keys compare by their bytes: the collation must be C. It is also the fastest.
CREATE DATABASE pollux TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
REVOKE ALL ON DATABASE pollux FROM PUBLIC;
GRANT CONNECT ON DATABASE pollux TO pollux;

-- Acknowledged means durable, whatever the server's default is.
ALTER ROLE pollux IN DATABASE pollux SET synchronous_commit = 'on';

\connect pollux
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO pollux;
