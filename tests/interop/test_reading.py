"""
Damaged certificates, keys, lists and bundles: what Node takes is taken here, what it refuses is
refused, with the same code.

`tests/pki/damaging.py` makes them from a seed, which is shown where they are
seen differently; TXNODETLS_SEED is another one, TXNODETLS_TEXTS how many.
What is to differ stands in docs/node-parity.md; `excuse` knows it.
"""

from __future__ import annotations

import base64
import json
import os
import random
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from tests.pki.damaging import GOOD, TEXTS, damaged, damagedBytes
from tests.support import nodeBinary, runTool
from txnodetls.context import createSecureContext
from txnodetls.errors import NodeError
from txnodetls.pki.issuers import findIssuer
from txnodetls.pki.pem import CERTIFICATE_LABELS, CRL_LABELS, PEMReader, pemBlocks
from txnodetls.pki.x509certificate import X509Certificate

SEED = int(os.environ.get("TXNODETLS_SEED", "20240229"))
COUNT = int(os.environ.get("TXNODETLS_TEXTS", "400"))

SCRIPT = str(Path(__file__).with_name("reading.js"))
PASSPHRASE = "secret"
#: Issued by root.crt.
ISSUED = TEXTS["authorities.crt"][TEXTS["authorities.crt"].rindex(b"-----BEGIN") :]
#: The code of an error that has none in Node.
NONE = "ERR_CRYPTO_OPERATION_FAILED"


def inputs() -> list[tuple[str, bytes]]:
    """Options, and what they are given."""
    pick = random.Random(SEED)
    found = []
    for _ in range(COUNT):
        option = pick.choice(list(GOOD))
        good = TEXTS[pick.choice(GOOD[option])]
        damage = damagedBytes if option == "pfx" else damaged
        found.append((option, damage(pick, good)))
    return found


def nodes(given: list[tuple[str, bytes]]) -> list[Any]:
    """What Node finds in each, or the code of its error."""
    asked = [
        {
            "option": option,
            "data": base64.b64encode(text).decode("ascii"),
            "issued": base64.b64encode(ISSUED).decode("ascii"),
            "passphrase": PASSPHRASE,
        }
        for option, text in given
    ]
    lines = "".join(f"{json.dumps(each)}\n" for each in asked)
    ran = runTool([nodeBinary(), SCRIPT], stdin=lines.encode("ascii"))
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    return [each if "found" in each else each["code"] or NONE for each in told]


def shown(certificate: bytes | None) -> str | None:
    """As reading.js shows it: without the signature, whose unused bits OpenSSL clears."""
    return None if certificate is None else certificate[:-120].hex()


def ours(option: str, text: bytes) -> Any:
    """The same, of ours."""
    try:
        if option == "x509":
            return {"found": shown(X509Certificate(text).raw)}
        context = createSecureContext({option: text, "passphrase": PASSPHRASE})
    except NodeError as error:
        return error.code or NONE
    if option == "cert":
        return {"found": shown(context.ownCertificates[0][0])}
    if option == "ca":
        issuer = findIssuer(X509Certificate(ISSUED).raw, context.trustedCertificates())
        return {"found": shown(issuer)}
    return {"found": True}


def excuse(option: str, text: bytes, node: Any, mine: Any) -> str | None:
    """Why this may differ; None if it may not."""
    if option == "crl" and mine == NONE and isWhole(text):
        return "Node reads no further than the first list"
    if option == "cert" and node == "ERR_SSL_CA_MD_TOO_WEAK":
        return "OpenSSL 4 takes a signature of an unknown algorithm"
    if option == "dhparam" and node == NONE:
        return "OpenSSL 4 reads no negative generator, and what cannot be read is passed over"
    if option == "ca" and mine["found"] and mine["found"] not in GOOD_AUTHORITIES:
        return "the certificate is another one, and OpenSSL finds no issuer in it"
    return None


def isWhole(text: bytes) -> bool:
    try:
        return PEMReader(text).take(CRL_LABELS) is not None
    except NodeError:
        return False


GOOD_AUTHORITIES = {
    shown(block.der) for block in pemBlocks(TEXTS["authorities.crt"], CERTIFICATE_LABELS)
}


def test_what_node_takes_is_taken_and_nothing_else() -> None:
    given = inputs()
    told = nodes(given)
    taken: Counter[tuple[str, bool]] = Counter()
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for (option, text), node in zip(given, told, strict=True):
            mine = ours(option, text)
            taken[option, isinstance(mine, dict)] += 1
            if mine != node and excuse(option, text, node, mine) is None:
                wrong.append((option, node, mine, text))
    assert not wrong, f"seed {SEED}: {len(wrong)} of {COUNT} differ, the first is {wrong[0]}"
    for option in GOOD:
        # (A PFX has a code against every damage, and to these two nothing is an error.)
        assert taken[option, True] or option == "pfx"
        assert taken[option, False] or option in ("ca", "dhparam")
