"""certstream: every change of a certificate in Alibaba Cloud's Certificate Management Service becomes one event."""

__version__ = "0.1.0"
