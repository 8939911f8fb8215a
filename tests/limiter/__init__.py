"""The slots in Redis, on a real redis-server."""
