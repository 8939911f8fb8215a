"""An HTTP server that speaks ListClientCertificate well enough for the official SDK, with a life script and logs of the truth."""
