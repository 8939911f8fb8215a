"""Pages of the service in a real Chromium: `make test-browser`."""
