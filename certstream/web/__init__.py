"""The small HTTP server: health, metrics."""
