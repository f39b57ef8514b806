"""
What makes sessions resumable beyond one connection: ticket keys and stores.

Nothing in here knows OpenSSL, a connection or the reactor; the clock is handed in.
"""
