"""The poll loop, the expiry clock, the supervisor: asyncio, no I/O of its own (it is given ports)."""
