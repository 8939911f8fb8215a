"""The API client: Signature V3 over aiohttp, credentials, STS. One call is one request on the wire."""
