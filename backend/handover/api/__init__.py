"""The HTTP server: what Label Studio calls, and the status page."""
