"""Pacing over real sockets: a delaying proxy, and a service that is stopped and let go a thousand times."""
