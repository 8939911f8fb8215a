"""A schema registry with Confluent's API: what topics carry is registered there, so that its clients find it."""
