"""TimescaleDB: the engine, what a server can do, and tables that become hypertables and ordinary again."""
