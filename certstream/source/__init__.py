"""Alibaba Cloud as a source: the calls of one account, its credentials, and whose they are. Only I/O lives here;
signing and decoding are `core.signing` and `core.answers`."""
