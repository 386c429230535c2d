-- Prepares a primary for streaming standbys: psql --file=primary.sql URL, as superuser; then restart it if the last
-- query names a setting that waits for one. The password is in the file that STANDBY_PASSWORD_FILE names.
\set ON_ERROR_STOP on
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
\set password `cat "$STANDBY_PASSWORD_FILE"`
CREATE ROLE replicator REPLICATION LOGIN PASSWORD :'password';
\unset password
-- So long may a standby fail to answer before nobody waits for it any more (60 s if nothing is said).
ALTER SYSTEM SET wal_sender_timeout = '5s';
-- A standby that stays away must not fill the primary's disk.
ALTER SYSTEM SET max_slot_wal_keep_size = '10GB';
-- So that an old primary can follow the new one after pg_rewind, without a copy of everything.
ALTER SYSTEM SET wal_log_hints = on;
SELECT pg_reload_conf();
SELECT name AS "waits for a restart" FROM pg_settings WHERE name = 'wal_log_hints' AND setting = 'off';
