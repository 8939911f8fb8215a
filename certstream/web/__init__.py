"""The small HTTP server: health, metrics."""

from certstream.web.server import reasons, serve

__all__ = ["reasons", "serve"]
