"""Where events are committed: SQLite (the embedded default) and Kafka. Both implement `ports.Journal`."""
