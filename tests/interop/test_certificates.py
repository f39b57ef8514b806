"""
Certificates of every kind, as Node sees them and as they are seen here.

`tests/pki/generating.py` makes them from a seed, which is shown where they are
seen differently; TXNODETLS_SEED is another one, TXNODETLS_CERTIFICATES how
many.  What is to differ stands in docs/node-parity.md; `excuse` knows it.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization

from tests.interop.peers import SCRIPT, Peer
from tests.loopback import Loopback
from tests.pki.generating import EMAILS, HOSTS, IPS, MEMBERS, Made, Maker
from tests.support import Pki, nodeBinary
from txnodetls.command.findings import gather
from txnodetls.command.report import render
from txnodetls.command.terminal import PLAIN
from txnodetls.errors import NodeError
from txnodetls.pki.certificates import certificateObject
from txnodetls.pki.fields import Fields
from txnodetls.pki.identity import checkServerIdentity
from txnodetls.pki.x509certificate import X509Certificate
from txnodetls.pki.x509text import timeText

SEED = int(os.environ.get("TXNODETLS_SEED", "20240229"))
COUNT = int(os.environ.get("TXNODETLS_CERTIFICATES", "400"))

#: The first moment that Python's datetime knows, in milliseconds.
YEAR_1 = -62135596800000
#: Keys on curves without a name of NIST's: Node 24.19 does not survive making the legacy object.
FATAL = ("secp256k1", "brainpool")
OPTIONS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"subject": "always"},
    {"subject": "never"},
    {"wildcards": False},
    {"partialWildcards": False},
    {"multiLabelWildcards": True},
    {"singleLabelSubdomains": True},
)


def plain(value: Any) -> Any:
    """As judge.js shows it."""
    if isinstance(value, bytes):
        return {"$hex": value.hex()}
    if hasattr(value, "timestamp"):
        return int(value.timestamp() * 1000)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {"$entries": [[key, plain(each)] for key, each in value.items()]}
    return value


def attempt(what: Any) -> Any:
    try:
        return plain(what())
    except NodeError as error:
        return {"$error": [error.code, error.message]}


def identity(host: str, cert: dict[str, Any]) -> dict[str, Any] | None:
    error = checkServerIdentity(host, cert)
    if error is None:
        return None
    return {
        "code": error.code,
        "message": error.message,
        "reason": error.reason,
        "host": error.host,
    }


def asked(made: Made) -> dict[str, Any]:
    """What there is to say of a certificate."""
    return {
        "cert": base64.b64encode(made.encoded).decode(),
        "issuer": made.issuer and base64.b64encode(made.issuer.encoded).decode(),
        "key": base64.b64encode(made.signer.private).decode(),
        "hosts": [[host, options] for host in HOSTS for options in OPTIONS],
        "emails": [[email, options] for email in EMAILS for options in OPTIONS[:3]],
        "ips": [[ip] for ip in IPS],
        "identities": None if made.signer.kind in FATAL else HOSTS,
    }


def judged(made: Made, question: dict[str, Any]) -> dict[str, Any]:
    """The same as judge.js, here."""
    try:
        certificate = X509Certificate(made.encoded)
    except NodeError as error:
        return {"refused": error.code}
    found: dict[str, Any] = {
        name: attempt(lambda name=name: getattr(certificate, name)) for name in MEMBERS
    }
    found["publicKey"] = attempt(
        lambda: certificate.publicKey.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    found["toString"] = attempt(certificate.toString)
    found["toJSON"] = attempt(certificate.toJSON)
    for check, wanted in (("checkHost", "hosts"), ("checkEmail", "emails"), ("checkIP", "ips")):
        found[wanted] = [
            attempt(lambda each=each, check=check: getattr(certificate, check)(*each))
            for each in question[wanted]
        ]
    if made.issuer is not None:
        above = X509Certificate(made.issuer.encoded)
        found["checkIssued"] = attempt(lambda: certificate.checkIssued(above))
        found["verify"] = attempt(lambda: certificate.verify(above.publicKey))
    found["selfIssued"] = attempt(lambda: certificate.checkIssued(certificate))
    found["selfSigned"] = attempt(lambda: certificate.verify(certificate.publicKey))
    key = serialization.load_der_private_key(made.signer.private, None)
    found["checkPrivateKey"] = attempt(lambda: certificate.checkPrivateKey(key))
    if question["identities"] is None:
        return found
    legacy = certificate.toLegacyObject()
    found["toLegacyObject"] = plain(legacy)
    found["identities"] = [
        attempt(lambda host=host: identity(host, legacy)) for host in question["identities"]
    ]
    return found


def judgements(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Node's answers. Where it dies of a question, the answer is how, and the next one goes on."""
    found: list[dict[str, Any]] = []
    while len(found) < len(questions):
        waiting = questions[len(found) :]
        done = subprocess.run(
            [nodeBinary(), str(SCRIPT.with_name("judge.js"))],
            input="\n".join(map(json.dumps, waiting)),
            capture_output=True,
            text=True,
            timeout=50 + len(questions) / 20,
        )
        found += map(json.loads, done.stdout.split("\n")[:-1])
        if done.returncode < 0:
            found.append({"died": done.returncode})
        else:
            assert done.returncode == 0, done.stderr
    return found


def differences(
    ours: dict[str, Any], theirs: dict[str, Any], question: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """What the two say differently: of what, ours, theirs."""
    for name in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(name), theirs.get(name)
        if left == right:
            continue
        if name in ("hosts", "emails", "ips", "identities") and left and right:
            for each, mine, other in zip(question[name], left, right, strict=True):
                if mine != other:
                    yield f"{name} {each}", mine, other
        elif name == "toLegacyObject" and left and right:
            mine, other = dict(left["$entries"]), dict(right["$entries"])
            for key in mine.keys() | other.keys():
                if mine.get(key) != other.get(key):
                    yield f"{name}.{key}", mine.get(key), other.get(key)
            if mine == other:
                yield f"{name}, order", list(mine), list(other)
        else:
            yield name, left, right


def excuse(made: Made, what: str, mine: Any, other: Any) -> str | None:
    """The row of docs/node-parity.md that has this difference, or None."""
    fields = Fields(made.encoded)
    if what == "publicKey" and made.signer.kind.startswith("RSA-PSS"):
        return "`publicKey` of an RSA-PSS key"
    if what in ("validFromDate", "validToDate") and mine is None:
        time = fields.notBefore if what == "validFromDate" else fields.notAfter
        if other < YEAR_1 or timeText(time) == "Bad time value":
            return "`validFromDate`, `validToDate` of a time that makes no sense, or of the year 0"
    if what.startswith(("hosts", "emails")) and mine is None:
        try:
            _ = fields.soleAltNames
        except NodeError:
            return "alternative names that cannot be read, in `checkHost`, `checkEmail`"
    if what == "identities xn--foo-bar.a.test" and other is None:
        return "a wildcard for a part of a label, and an internationalized label"
    return None


def compared(seed: int, count: int) -> tuple[list[str], Counter[str]]:
    """What differs without an excuse, and how often each excuse was needed."""
    maker = Maker(seed)
    made = [maker.certificate() for _ in range(count)]
    questions = [asked(each) for each in made]
    found: list[str] = []
    excused: Counter[str] = Counter()
    answers = judgements(questions)
    for number, (each, question, theirs) in enumerate(zip(made, questions, answers, strict=True)):
        ours = judged(each, question)
        if "died" in theirs:
            # It is the name with a value that is no string, which is left out here.
            shown = {key for key, _ in ours["toLegacyObject"]["$entries"]}
            assert not {"subject", "issuer"} <= shown, question["cert"]
            excused["what Node does not survive"] += 1
            continue
        for what, mine, other in differences(ours, theirs, question):
            reason = excuse(each, what, mine, other)
            if reason is None:
                found.append(
                    f"{number} {what}\n  here {mine}\n  Node {other}\n  {question['cert']}"
                )
            else:
                excused[reason] += 1
    return found, excused


def test_every_certificate_is_seen_as_node_sees_it() -> None:
    found, excused = compared(SEED, COUNT)
    print(f"seed {SEED}, {COUNT} certificates, excused: {dict(excused)}")
    if found:
        shown = "\n".join(found[:3])
        pytest.fail(f"seed {SEED}: {len(found)} differences\n{shown}", pytrace=False)


@pytest.mark.soak
@pytest.mark.timeLimit(600)
def test_thousands_of_certificates_are_seen_as_node_sees_them() -> None:
    seed = int.from_bytes(os.urandom(4))
    for begun in range(seed, seed + 10):
        found, excused = compared(begun, 2000)
        print(f"seed {begun}, 2000 certificates, excused: {dict(excused)}")
        assert not found, f"seed {begun}: {len(found)} differences\n" + "\n".join(found[:2])


LEAVES = 24


def leaves(maker: Maker) -> list[Made]:
    """Certificates that a server can show, and that Node survives."""
    found: list[Made] = []
    while len(found) < LEAVES:
        made = maker.leaf()
        try:
            shown = certificateObject(made.encoded)
            X509Certificate(made.encoded)
        except NodeError:
            continue
        if "subject" in shown:
            found.append(made)
    return found


def linked(peer: dict[str, Any]) -> dict[str, Any]:
    """A detailed certificate as chains.js shows it."""
    shown = {key: value for key, value in peer.items() if key != "issuerCertificate"}
    entries = plain(shown)["$entries"]
    if "issuerCertificate" in peer:
        above = peer["issuerCertificate"]
        link = {"$self": True} if above is peer else linked(above)
        entries.append(["issuerCertificate", link])
    return {"$entries": entries}


@pytest_twisted.ensureDeferred
async def test_a_servers_chain_is_told_as_node_tells_it(pki: Pki) -> None:
    """Over real connections: Node's servers, told by Node's client and by ours."""
    made = leaves(Maker(SEED))
    now = datetime.datetime.now(datetime.UTC)
    chains = [
        {
            "key": base64.b64encode(each.signer.private).decode(),
            "chain": [base64.b64encode(link.encoded).decode() for link in each.chain],
        }
        for each in made
    ]
    async with (
        Loopback(pki) as loopback,
        Peer([nodeBinary(), str(SCRIPT.with_name("chains.js"))]) as node,
    ):
        node.write(json.dumps(chains).encode() + b"\n")
        told = await node.said(rb"(?m)^\[\{.*\}\]$")
        for each, served in zip(made, json.loads(told[0]), strict=True):
            client = await loopback.secure(
                served["port"], rejectUnauthorized=False, servername=None
            )
            peer = client.getPeerCertificate(True)
            simple = client.getPeerCertificate()
            report = render(gather(client, "localhost", None, None), PLAIN, now)
            client.destroy()
            assert linked(peer) == served["peer"], f"seed {SEED}: {each.encoded.hex()}"
            assert simple.items() <= peer.items()
            # And nothing in them gets at whoever looks with the command line.
            assert all(line.isprintable() for line in report.split("\n"))
            assert report.count("SHA-256") + report.count("also sent") == 3
