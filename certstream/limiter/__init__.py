"""Slots that several hosts share: adapters of the limiter. Redis is the only one."""
