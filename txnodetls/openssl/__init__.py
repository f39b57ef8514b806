"""OpenSSL through pyOpenSSL: the only room that touches its private names."""
