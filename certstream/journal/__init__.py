"""Where events are committed: SQLite (the embedded default) and Kafka. Both implement `ports.Journal`.

`sqlite` and `kafka` are the two journals; the modules beside them have one subject each. Nothing here decides what an
event is: bytes come in, are committed all or not at all, and come back the same.
"""
