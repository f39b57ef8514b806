"""The tests. C{tests.support} holds what several of them use; C{conftest} the rules for all."""
