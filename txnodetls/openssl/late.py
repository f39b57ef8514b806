"""
C{symbols.py}, imported when something is first asked of it.

A plain server asks it nothing, and a good part of what importing this package
takes would be spent on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["symbols"]

if TYPE_CHECKING:
    from txnodetls.openssl import symbols
else:

    class _Late:
        def __getattr__(self, name: str) -> Any:
            # Kept nowhere: to ask again costs little, and what is asked may change.
            from txnodetls.openssl import symbols

            return getattr(symbols, name)

    symbols = _Late()
