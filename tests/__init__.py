"""The tests. `tests.support` holds what several of them use; `conftest` the rules for all."""
