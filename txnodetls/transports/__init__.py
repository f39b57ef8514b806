"""What carries bytes: one interface, and what provides it."""
