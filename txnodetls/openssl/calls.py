"""
The driver: one OpenSSL connection over two memory BIOs.

pyOpenSSL's C{Connection} owns the C{SSL*} and its BIOs; the calls are made on
them directly, because pyOpenSSL's own methods lose error numbers, raise the
exceptions of one connection's callbacks on another, and cost an exception per
"want read".

What OpenSSL may do, and what this file does about it:

- Every call that fails says why in two places: C{SSL_get_error}, and the
  thread's error queue.  A stale entry in the queue turns the harmless "want
  read" of another connection into a fatal error, so the queue is cleared
  before each call that can fail, and drained right after one that did.
- C{SSL_get_error} has to be asked before anything else touches the
  connection: a write made while data is being delivered resets it.
- C{SSL_write} on a memory BIO takes everything (partial writes are off),
  except while a renegotiation waits for the peer; then it wants a read, and
  the same bytes have to be offered again.
- Reading as a client stops behind every handshake message (auto retry is
  off), so that no session ticket goes by unseen.  Such a stop looks like
  "want read"; only an empty input BIO and an unchanged session make it one.
  A connection whose later handshakes are watched stops in the same way, for
  either role, so that what was sent before such a handshake is never taken for
  what was sent behind it.
- A memory BIO never shrinks.  One that has grown is replaced when it is empty, but for the
  output of the few connections that have sent much lately.
- What a memory BIO holds can be sent from where it lies (C{BIO_get_mem_data}).  To take it out
  it has to be read, for want of C{BIO_reset}; it is read to where it lies already, so that
  nothing is moved.

Sources: the OpenSSL manual pages SSL_read(3), SSL_get_error(3), BIO_s_mem(3),
SSL_CTX_set_mode(3).
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from txnodetls.openssl.areas import INPUT, OUTPUT

__all__ = ["CLOSED", "DONE", "FAILED", "GROWN", "SUSPENDED", "WANT_READ", "Driver", "setPskHint"]

# What became of a call.
DONE: Final = 1
WANT_READ: Final = 2
CLOSED: Final = 3
SUSPENDED: Final = 4
FAILED: Final = 5

_OUTCOMES: Final = {
    lib.SSL_ERROR_NONE: DONE,
    lib.SSL_ERROR_WANT_READ: WANT_READ,
    lib.SSL_ERROR_WANT_WRITE: WANT_READ,
    lib.SSL_ERROR_ZERO_RETURN: CLOSED,
    lib.SSL_ERROR_WANT_X509_LOOKUP: SUSPENDED,
    lib.SSL_ERROR_SSL: FAILED,
    lib.SSL_ERROR_SYSCALL: FAILED,
}

RECORD: Final = 16384
# Plaintext of one read: all that one full input area can hold, and a record.
_PLAIN_SIZE: Final = INPUT.size + 4 * RECORD
_plain = ffi.new("char[]", _PLAIN_SIZE)
_plainBuffer = ffi.buffer(_plain)  # its slices are bytes objects
_ALERT_SIZE: Final = 7
# A BIO that has held more than this is replaced when it is empty.
GROWN: Final = 32768
# So many connections, those that have sent much last, keep the memory for more of it.
KEPT: Final = 16

_SSL_read = lib.SSL_read
_SSL_write = lib.SSL_write
_BIO_read = lib.BIO_read
_BIO_write = lib.BIO_write
_BIO_get_mem_data = lib.BIO_get_mem_data
_SSL_get_error = lib.SSL_get_error
_SSL_get_session = lib.SSL_get_session
_SSL_clear_mode = lib.SSL_clear_mode
_SSL_set_mode = lib.SSL_set_mode
_SSL_set_accept_state = lib.SSL_set_accept_state
_PARTIAL_WRITE: Final = lib.SSL_MODE_ENABLE_PARTIAL_WRITE
_MOVING_WRITE_BUFFER: Final = lib.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
_ERR_clear_error = lib.ERR_clear_error
_fromBuffer = ffi.from_buffer
_INPUT: Final = INPUT.pointer
_OUTPUT: Final = OUTPUT.pointer
_OUTPUT_SIZE: Final = OUTPUT.size
_OUTPUT_VIEW: Final = OUTPUT.view
_buffer = ffi.buffer
_where = ffi.new("char **")
_NULL: Final = ffi.NULL


def sslKey(ssl: Any) -> int:
    """The address of an C{SSL*} as a number: what the trampolines look up."""
    return int(ffi.cast("uintptr_t", ssl))


def setPskHint(native: SSL.Context, hint: bytes | None) -> bool:
    """
    The identity hint of connections that are made next; False if it is too long.

    OpenSSL keeps it in the context and copies it into each new connection.
    """
    _ERR_clear_error()
    done = lib.SSL_CTX_use_psk_identity_hint(
        native._context, ffi.NULL if hint is None else ffi.new("char[]", hint)
    )
    _ERR_clear_error()
    return bool(done == 1)


class Driver:
    """
    One C{SSL*}.

    @ivar connection: pyOpenSSL's Connection, which owns everything.
    @ivar ssl: its C{SSL*}.
    @ivar key: the number that the trampolines look it up by; None while they need not find it.
    @ivar noted: of handshakes that are watched, what happened since this was
        last cleared: False for each that began, True for each that ended.  One
        that was refused ends in the same call in which it began.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_behind",
        "_inputGrown",
        "_isServer",
        "_keeps",
        "_native",
        "_outputGrown",
        "_rbio",
        "_session",
        "_stops",
        "_wbio",
        "connection",
        "key",
        "noted",
        "ssl",
    )

    def __init__(self, native: SSL.Context, isServer: bool) -> None:
        self.connection = connection = SSL.Connection(native, None)
        # Kept for the whole life: dropping the first context of a connection
        # that was switched to another one crashes OpenSSL's caller.
        self._native = native
        self._isServer = isServer
        self.ssl = ssl = connection._ssl
        self._rbio = connection._into_ssl
        self._wbio = connection._from_ssl
        self._inputGrown = self._outputGrown = self._keeps = False
        self._session: Any = ffi.NULL
        self._stops = not isServer
        self._asked = False
        self._behind: bytes | None = None
        self.noted: list[bool] = []
        self.key: int | None = None
        # Contexts of others' making may say otherwise.
        if isServer:
            _SSL_set_accept_state(ssl)
            _SSL_clear_mode(ssl, _PARTIAL_WRITE)
        else:
            lib.SSL_set_connect_state(ssl)
            _SSL_clear_mode(ssl, _PARTIAL_WRITE | lib.SSL_MODE_AUTO_RETRY)
        _SSL_set_mode(ssl, _MOVING_WRITE_BUFFER)

    @property
    def native(self) -> SSL.Context:
        """The context that the connection began with."""
        return self._native

    # -- bytes of the network

    def feed(self, data: bytes | bytearray) -> None:
        """Take ciphertext from a bytes-like object that is not empty."""
        length = len(data)
        _BIO_write(self._rbio, _fromBuffer(data), length)
        if length > GROWN:
            self._inputGrown = True

    def feedArea(self, length: int) -> None:
        """Take the first C{length} bytes of the shared input area."""
        _BIO_write(self._rbio, _INPUT, length)
        if length > GROWN:
            self._inputGrown = True

    def readArea(self, length: int) -> tuple[bytes, int, bool]:
        """
        L{feedArea} and L{read} for much: OpenSSL reads from the area itself.

        The area is free when this returns; what was not read from it is copied.
        """
        if self.pendingInput():
            self.feedArea(length)
            return self.read()
        own = _memoryBIO()
        lent = lib.BIO_new_mem_buf(_INPUT, length)
        if lent == _NULL:
            raise MemoryError("BIO_new_mem_buf")
        lib.BIO_set_mem_eof_return(lent, -1)  # more will come
        self._replaceInput(lent)
        try:
            return self.read()
        finally:
            rest = _BIO_get_mem_data(self._rbio, _where)
            if rest:
                _BIO_write(own, _where[0], rest)
            self._replaceInput(own)

    def drain(self, write: Callable[[memoryview], object]) -> int:
        """
        Give the little ciphertext that waits to C{write}, in the shared output area.

        @param write: what it is given is valid until it calls anything of OpenSSL's.
        @return: how many bytes there were.
        """
        length: int = _BIO_read(self._wbio, _OUTPUT, _OUTPUT_SIZE)
        if length <= 0:
            return 0
        if length == _OUTPUT_SIZE:
            self._outputGrown = True
            write(_OUTPUT_VIEW)
            return length + self.drain(write)
        if length > GROWN or self._outputGrown:
            # Less came than there was room for: it is empty.
            self._replaceOutput()
        write(_OUTPUT_VIEW[:length])
        return length

    def drainMuch(self, write: Callable[[memoryview], object]) -> int:
        """
        L{drain} for much: from where OpenSSL has written it.

        The memory for it stays for what follows; for how long is not said here.
        """
        length: int = _BIO_get_mem_data(self._wbio, _where)
        if length:
            place = _where[0]
            _BIO_read(self._wbio, place, length)
            self._outputGrown = True
            if not self._keeps:
                self._keep()
            write(memoryview(_buffer(place, length)))
        return length

    def take(self) -> bytes:
        """All the ciphertext that waits, as one bytes object."""
        parts: list[bytes] = []
        self.drain(lambda data: parts.append(bytes(data)))
        return b"".join(parts)

    def _keep(self) -> None:
        """Keep memory for much output; who has kept it for longest gives it back."""
        self._keeps = True
        _keeping.append(weakref.ref(self))
        if len(_keeping) > KEPT:
            other = _keeping.popleft()()
            if other is not None:
                other._keeps = False
                if other._outputGrown and not other.pendingOutput():
                    other._replaceOutput()

    def pendingOutput(self) -> int:
        """How many bytes of ciphertext wait."""
        return int(_BIO_get_mem_data(self._wbio, _NULL))

    def alertSent(self) -> int | None:
        """The number of the alert that waits last, if it is there in plain text."""
        data = ffi.new("char **")
        length = lib.BIO_get_mem_data(self._wbio, data)
        if length < _ALERT_SIZE:
            return None
        record = bytes(ffi.buffer(data[0] + length - _ALERT_SIZE, _ALERT_SIZE))
        return record[6] if record[:2] == b"\x15\x03" and record[3:5] == b"\0\2" else None

    def pendingInput(self) -> int:
        """How many bytes of ciphertext OpenSSL has not looked at yet."""
        return int(lib.BIO_get_mem_data(self._rbio, ffi.NULL))

    def _replaceOutput(self) -> None:
        connection = self.connection
        self._wbio = connection._from_ssl = _memoryBIO()
        self._outputGrown = False
        # SSL_set_bio frees a BIO it is given a successor for, and keeps the
        # other one when it is given the same again.
        lib.SSL_set_bio(self.ssl, self._rbio, self._wbio)

    def _replaceInput(self, bio: Any) -> None:
        self._rbio = self.connection._into_ssl = bio
        self._inputGrown = False
        lib.SSL_set_bio(self.ssl, self._rbio, self._wbio)

    # -- the calls

    def handshake(self) -> int:
        """Go on with the handshake."""
        _ERR_clear_error()
        result = lib.SSL_do_handshake(self.ssl)
        if result == 1:
            return DONE
        return _OUTCOMES.get(_SSL_get_error(self.ssl, result), FAILED)

    def handshakeDone(self) -> None:
        """
        The first handshake is done.

        It is more than many connections ever have to say again: the memory that it took is given
        back when a connection goes on to use what it has agreed on.
        """
        self._inputGrown = True

    def read(self) -> tuple[bytes, int, bool]:
        """
        Decrypt what there is, up to the size of one input area.

        @return: the data; why it ended (DONE: there may be more); and whether
            it stopped because a new session has come.
        """
        if self._behind is not None:
            behind, self._behind = self._behind, None
            return behind, DONE, False
        _ERR_clear_error()
        ssl = self.ssl
        got = 0
        while True:
            result = _SSL_read(ssl, _plain + got if got else _plain, _PLAIN_SIZE - got)
            if result > 0:
                if self.noted:
                    self._asked = False
                    self._behind = _plainBuffer[got : got + result]
                    return _plainBuffer[:got], DONE, False
                got += result
                if result < RECORD and not self._asked and not _BIO_get_mem_data(self._rbio, _NULL):
                    if self._inputGrown:
                        self._shrinkInput(got)
                    return _plainBuffer[:got], WANT_READ, False
                if _PLAIN_SIZE - got >= RECORD:
                    continue
                return _plainBuffer[:got], DONE, False
            outcome = _OUTCOMES.get(_SSL_get_error(ssl, result), FAILED)
            if outcome == WANT_READ:
                if self._stops:
                    if self.noted:
                        self._asked = False
                        return _plainBuffer[:got], DONE, False
                    if not self._isServer and self.sessionChanged():
                        return _plainBuffer[:got], DONE, True
                    if self.pendingInput():
                        continue
                if self._inputGrown:
                    self._shrinkInput(got)
            return _plainBuffer[:got] if got else b"", outcome, False

    def _shrinkInput(self, got: int) -> None:
        """A burst, or the handshake, is over: give back the memory that it took."""
        if got < GROWN and not self.pendingInput():
            self._replaceInput(_memoryBIO())
            self._outputGrown = True  # with the next answer, if that is small

    def sessionChanged(self) -> bool:
        """Whether the connection has another session than when last asked."""
        session = _SSL_get_session(self.ssl)
        if session == self._session:
            return False
        self._session = session
        return True

    def write(self, data: Any) -> int:
        """Encrypt a bytes-like object that is not empty."""
        _ERR_clear_error()
        # To make a pointer costs as much as half the call; bytes are taken without one.
        memory = data if data.__class__ is bytes else _fromBuffer(data)
        result = _SSL_write(self.ssl, memory, len(data))
        if result > 0:
            return DONE
        return _OUTCOMES.get(_SSL_get_error(self.ssl, result), FAILED)

    def shutdown(self) -> None:
        """Send close_notify.  Does nothing before the handshake is done."""
        _ERR_clear_error()
        lib.SSL_shutdown(self.ssl)
        _ERR_clear_error()

    def renegotiate(self) -> bool:
        """
        Let the next call begin a new handshake (TLS 1.2 and older).

        In the middle of an incoming record none can begin; then a read does it
        behind that record.

        @return: False if it cannot be; the error queue says why.
        """
        _ERR_clear_error()
        self._asked = lib.SSL_renegotiate(self.ssl) == 1
        return self._asked

    def watchHandshakes(self, callback: Any) -> None:
        """
        Watch for handshakes to come; reading stops where one begins or ends.

        @param callback: for C{SSL_set_info_callback}; it adds to C{noted}.
        """
        lib.SSL_set_info_callback(self.ssl, callback)
        lib.SSL_clear_mode(self.ssl, lib.SSL_MODE_AUTO_RETRY)
        self._stops = True

    def unwatchHandshakes(self) -> None:
        """Watch no longer."""
        lib.SSL_set_info_callback(self.ssl, ffi.NULL)
        self.noted.clear()
        if self._isServer:
            lib.SSL_set_mode(self.ssl, lib.SSL_MODE_AUTO_RETRY)
            self._stops = False

    def askForCertificate(self, mode: int) -> bool:
        """
        Let the next handshake call ask a client for its certificate, behind a handshake of TLS 1.3.

        @param mode: C{SSL_VERIFY_*} bits to go by from now on.
        @return: False if it cannot be, and nothing has changed; the error queue says why.
        """
        _ERR_clear_error()
        before = lib.SSL_get_verify_mode(self.ssl)
        self.setVerify(mode)
        if lib.SSL_verify_client_post_handshake(self.ssl) == 1:
            return True
        self.setVerify(before)
        return False

    # -- what is set before the handshake

    def setServername(self, name: bytes) -> None:
        """The server name that the ClientHello will carry."""
        lib.SSL_set_tlsext_host_name(self.ssl, ffi.new("char[]", name))

    def setALPN(self, protocols: bytes) -> None:
        """The protocols that the ClientHello will offer, length-prefixed."""
        lib.SSL_set_alpn_protos(self.ssl, protocols, len(protocols))

    def setVerify(self, mode: int) -> None:
        """The verification mode; the callback stays the context's."""
        lib.SSL_set_verify(self.ssl, mode, ffi.NULL)

    def setOptions(self, options: int) -> None:
        """Add C{SSL_OP_*} options."""
        lib.SSL_set_options(self.ssl, options)

    def offerPostHandshakeAuth(self) -> None:
        """Offer to show a certificate when the server asks for it behind the handshake."""
        lib.SSL_set_post_handshake_auth(self.ssl, 1)

    def requestStaple(self) -> None:
        """Ask the server for an OCSP staple."""
        lib.SSL_set_tlsext_status_type(self.ssl, lib.TLSEXT_STATUSTYPE_ocsp)

    def switchContext(self, native: SSL.Context) -> None:
        """
        Let another context's certificates, trust and ciphers serve.

        The verification mode, the options and the groups stay what they were.
        """
        self.connection.set_context(native)

    def setSession(self, session: bytes) -> bool:
        """Offer a serialised session; False if it is not one."""
        pointer = ffi.new("unsigned char[]", session)
        position = ffi.new("const unsigned char **", pointer)
        _ERR_clear_error()
        parsed = lib.d2i_SSL_SESSION(ffi.NULL, position, len(session))
        if parsed == ffi.NULL:
            _ERR_clear_error()
            return False
        done = lib.SSL_set_session(self.ssl, parsed) == 1
        lib.SSL_SESSION_free(parsed)
        _ERR_clear_error()
        # What was offered is no new session.
        self._session = _SSL_get_session(self.ssl)
        return done


_keeping: Final[deque[weakref.ref[Driver]]] = deque()


def _memoryBIO() -> Any:
    bio = lib.BIO_new(lib.BIO_s_mem())
    if bio == ffi.NULL:
        raise MemoryError("BIO_new")
    return bio
