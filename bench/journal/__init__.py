"""What the journal costs: Kafka beside confluent-kafka and plain aiokafka on a real broker, SQLite beside bare sqlite3.

`make bench-journal`, `docs/performance.md`. Everybody writes the same bytes, in turn, in one run.
"""
