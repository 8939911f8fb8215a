"""What every journal does: one suite, run on SQLite and on a real Kafka."""
