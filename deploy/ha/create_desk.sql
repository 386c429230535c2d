-- Run once by Patroni, as superuser, on the first leader: the desk's database and the role that owns it.
-- The password comes from a file, so that it is neither on a command line nor, with these settings, in the log.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
\set password `cat "$EMO_HA_SECRETS_DIR/desk"`
CREATE ROLE emo LOGIN PASSWORD :'password';
\unset password
CREATE DATABASE emo OWNER emo;
REVOKE ALL ON DATABASE emo FROM PUBLIC;
SELECT :'preload' LIKE '%timescaledb%' AS with_timescaledb \gset
\if :with_timescaledb
  -- Its functions must not depend on who migrates first.
  \connect emo
  CREATE EXTENSION IF NOT EXISTS timescaledb;
\endif
