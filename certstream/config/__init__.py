"""The configuration: one TOML file, each key also by environment. Every problem is told, and what is allowed."""

from certstream.config.loading import DEFAULT_FILE, ConfigError, load
from certstream.config.model import Account, Config, Credentials, Http, Kafka
from certstream.config.values import is_loopback

__all__ = ["DEFAULT_FILE", "Account", "Config", "ConfigError", "Credentials", "Http", "Kafka", "is_loopback", "load"]
