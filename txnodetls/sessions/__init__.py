"""
What makes sessions resumable beyond one connection.

    named clientcache               a client's sessions
    tickets ring                    ticket keys, alone and shared
    memory redis memcached sealing  a server's session stores
    keyfiles places text wire       what the shared ones have in common

Nothing in here knows OpenSSL or a TLS connection; clock and reactor are handed in.
"""
