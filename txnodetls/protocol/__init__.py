"""TLS without I/O: bytes in, bytes out, events."""
