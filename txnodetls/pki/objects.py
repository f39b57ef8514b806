"""
Object identifiers, and the names that OpenSSL has for them.

Node shows an attribute of a name under OpenSSL's short name (C{CN}), a curve
under its short name and NIST's, a signature algorithm and an access method
under OpenSSL's long name.  These are the parts of OpenSSL's table of objects
that can stand in those places; what is not here shows as dotted numbers, as
an object that OpenSSL does not know does.

Source: OpenSSL's C{crypto/objects/objects.txt}; SEC 2, X9.62, RFC 5639.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from txnodetls.pki.der import malformed

__all__ = [
    "ACCESS_METHODS",
    "CURVES",
    "Curve",
    "SHORT_NAMES",
    "SIGNATURES",
    "Signature",
    "dotted",
]

_LIMIT = 1024  # of an identifier's octets; the longest in use have 20


@lru_cache(maxsize=512)
def dotted(content: bytes) -> str:
    """
    An object identifier's content octets as dotted numbers.

    @raise NodeError: it is not a well-formed object identifier.
    """
    if not content or content[-1] & 0x80 or len(content) > _LIMIT:
        raise malformed("invalid object encoding")
    numbers: list[int] = []
    value = 0
    fresh = True
    for octet in content:
        if fresh and octet == 0x80:
            raise malformed("invalid object encoding")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


class Curve(NamedTuple):
    """
    An elliptic curve.

    @ivar name: OpenSSL's short name.
    @ivar bits: the length of the group's order, which is the C{bits} of a key.
    @ivar nist: NIST's name, or None.
    """

    name: str
    bits: int
    nist: str | None


class Signature(NamedTuple):
    """
    A signature algorithm.

    @ivar name: OpenSSL's long name.
    @ivar key: the kind of key that it wants: RSA, RSA-PSS, EC, DSA, ED25519, ED448.
    @ivar hash: the name of its hash, or None where the algorithm or its parameters say.
    """

    name: str
    key: str
    hash: str | None


def _under(arc: str, names: dict[str, str]) -> dict[str, str]:
    return {f"{arc}.{rest}": name for rest, name in names.items()}


#: Attribute types in the names of subjects and issuers.
SHORT_NAMES: dict[str, str] = {
    **_under(
        "2.5.4",  # X.520
        {
            "3": "CN",
            "4": "SN",
            "5": "serialNumber",
            "6": "C",
            "7": "L",
            "8": "ST",
            "9": "street",
            "10": "O",
            "11": "OU",
            "12": "title",
            "13": "description",
            "14": "searchGuide",
            "15": "businessCategory",
            "16": "postalAddress",
            "17": "postalCode",
            "18": "postOfficeBox",
            "19": "physicalDeliveryOfficeName",
            "20": "telephoneNumber",
            "21": "telexNumber",
            "22": "teletexTerminalIdentifier",
            "23": "facsimileTelephoneNumber",
            "24": "x121Address",
            "25": "internationaliSDNNumber",
            "26": "registeredAddress",
            "27": "destinationIndicator",
            "28": "preferredDeliveryMethod",
            "29": "presentationAddress",
            "30": "supportedApplicationContext",
            "31": "member",
            "32": "owner",
            "33": "roleOccupant",
            "34": "seeAlso",
            "35": "userPassword",
            "36": "userCertificate",
            "37": "cACertificate",
            "38": "authorityRevocationList",
            "39": "certificateRevocationList",
            "40": "crossCertificatePair",
            "41": "name",
            "42": "GN",
            "43": "initials",
            "44": "generationQualifier",
            "45": "x500UniqueIdentifier",
            "46": "dnQualifier",
            "47": "enhancedSearchGuide",
            "48": "protocolInformation",
            "49": "distinguishedName",
            "50": "uniqueMember",
            "51": "houseIdentifier",
            "52": "supportedAlgorithms",
            "53": "deltaRevocationList",
            "54": "dmdName",
            "65": "pseudonym",
            "72": "role",
            "97": "organizationIdentifier",
            "98": "c3",
            "99": "n3",
            "100": "dnsName",
        },
    ),
    **_under(
        "0.9.2342.19200300.100.1",  # RFC 4524, the COSINE pilot
        {
            "1": "UID",
            "2": "textEncodedORAddress",
            "3": "mail",
            "4": "info",
            "5": "favouriteDrink",
            "6": "roomNumber",
            "7": "photo",
            "8": "userClass",
            "9": "host",
            "10": "manager",
            "11": "documentIdentifier",
            "12": "documentTitle",
            "13": "documentVersion",
            "14": "documentAuthor",
            "15": "documentLocation",
            "20": "homeTelephoneNumber",
            "21": "secretary",
            "22": "otherMailbox",
            "23": "lastModifiedTime",
            "24": "lastModifiedBy",
            "25": "DC",
            "26": "aRecord",
            "27": "pilotAttributeType27",
            "28": "mXRecord",
            "29": "nSRecord",
            "30": "sOARecord",
            "31": "cNAMERecord",
            "37": "associatedDomain",
            "38": "associatedName",
            "39": "homePostalAddress",
            "40": "personalTitle",
            "41": "mobileTelephoneNumber",
            "42": "pagerTelephoneNumber",
            "43": "friendlyCountryName",
            "44": "uid",
            "45": "organizationalStatus",
            "46": "janetMailbox",
            "47": "mailPreferenceOption",
            "48": "buildingName",
            "49": "dSAQuality",
            "50": "singleLevelQuality",
            "51": "subtreeMinimumQuality",
            "52": "subtreeMaximumQuality",
            "53": "personalSignature",
            "54": "dITRedirect",
            "55": "audio",
            "56": "documentPublisher",
        },
    ),
    **_under(
        "1.2.840.113549.1.9",  # PKCS #9
        {
            "1": "emailAddress",
            "2": "unstructuredName",
            "3": "contentType",
            "4": "messageDigest",
            "5": "signingTime",
            "6": "countersignature",
            "7": "challengePassword",
            "8": "unstructuredAddress",
            "9": "extendedCertificateAttributes",
            "14": "extReq",
            "15": "SMIME-CAPS",
            "16": "SMIME",
            "20": "friendlyName",
            "21": "localKeyID",
        },
    ),
    **_under(
        "1.3.6.1.4.1.311",  # Microsoft; the jurisdictions of extended validation
        {
            "17.1": "CSPName",
            "17.2": "LocalKeySet",
            "20.2.2": "msSmartcardLogin",
            "20.2.3": "msUPN",
            "60.2.1.1": "jurisdictionL",
            "60.2.1.2": "jurisdictionST",
            "60.2.1.3": "jurisdictionC",
        },
    ),
    **_under(
        "1.3.6.1.5.5.7.9",  # RFC 3739
        {
            "1": "id-pda-dateOfBirth",
            "2": "id-pda-placeOfBirth",
            "3": "id-pda-gender",
            "4": "id-pda-countryOfCitizenship",
            "5": "id-pda-countryOfResidence",
        },
    ),
    **_under(
        "1.2.643",  # Russian registers
        {
            "3.131.1.1": "INN",
            "100.1": "OGRN",
            "100.3": "SNILS",
            "100.5": "OGRNIP",
            "100.111": "subjectSignTool",
            "100.112": "issuerSignTool",
            "100.113": "classSignTool",
            "100.113.1": "classSignToolKC1",
            "100.113.2": "classSignToolKC2",
            "100.113.3": "classSignToolKC3",
            "100.113.4": "classSignToolKB1",
            "100.113.5": "classSignToolKB2",
            "100.113.6": "classSignToolKA1",
        },
    ),
    **_under(
        "1.3.6.1.4.1.1466",
        {
            "344": "dcobject",
        },
    ),
}

#: What an authority can be asked for, in long names.
ACCESS_METHODS: dict[str, str] = _under(
    "1.3.6.1.5.5.7.48",
    {
        "1": "OCSP",
        "2": "CA Issuers",
        "3": "AD Time Stamping",
        "4": "ad dvcs",
        "5": "CA Repository",
        "10": "RPKI Manifest",
        "11": "Signed Object",
        "13": "RPKI Notify",
    },
)

CURVES: dict[str, Curve] = {
    "1.2.156.10197.1.301": Curve("SM2", 256, None),
    "1.2.840.10045.3.0.1": Curve("c2pnb163v1", 163, None),
    "1.2.840.10045.3.0.2": Curve("c2pnb163v2", 162, None),
    "1.2.840.10045.3.0.3": Curve("c2pnb163v3", 162, None),
    "1.2.840.10045.3.0.4": Curve("c2pnb176v1", 161, None),
    "1.2.840.10045.3.0.5": Curve("c2tnb191v1", 191, None),
    "1.2.840.10045.3.0.6": Curve("c2tnb191v2", 190, None),
    "1.2.840.10045.3.0.7": Curve("c2tnb191v3", 189, None),
    "1.2.840.10045.3.0.10": Curve("c2pnb208w1", 193, None),
    "1.2.840.10045.3.0.11": Curve("c2tnb239v1", 238, None),
    "1.2.840.10045.3.0.12": Curve("c2tnb239v2", 237, None),
    "1.2.840.10045.3.0.13": Curve("c2tnb239v3", 236, None),
    "1.2.840.10045.3.0.16": Curve("c2pnb272w1", 257, None),
    "1.2.840.10045.3.0.17": Curve("c2pnb304w1", 289, None),
    "1.2.840.10045.3.0.18": Curve("c2tnb359v1", 353, None),
    "1.2.840.10045.3.0.19": Curve("c2pnb368w1", 353, None),
    "1.2.840.10045.3.0.20": Curve("c2tnb431r1", 418, None),
    "1.2.840.10045.3.1.1": Curve("prime192v1", 192, "P-192"),
    "1.2.840.10045.3.1.2": Curve("prime192v2", 192, None),
    "1.2.840.10045.3.1.3": Curve("prime192v3", 192, None),
    "1.2.840.10045.3.1.4": Curve("prime239v1", 239, None),
    "1.2.840.10045.3.1.5": Curve("prime239v2", 239, None),
    "1.2.840.10045.3.1.6": Curve("prime239v3", 239, None),
    "1.2.840.10045.3.1.7": Curve("prime256v1", 256, "P-256"),
    "1.3.36.3.3.2.8.1.1.1": Curve("brainpoolP160r1", 160, None),
    "1.3.36.3.3.2.8.1.1.2": Curve("brainpoolP160t1", 160, None),
    "1.3.36.3.3.2.8.1.1.3": Curve("brainpoolP192r1", 192, None),
    "1.3.36.3.3.2.8.1.1.4": Curve("brainpoolP192t1", 192, None),
    "1.3.36.3.3.2.8.1.1.5": Curve("brainpoolP224r1", 224, None),
    "1.3.36.3.3.2.8.1.1.6": Curve("brainpoolP224t1", 224, None),
    "1.3.36.3.3.2.8.1.1.7": Curve("brainpoolP256r1", 256, None),
    "1.3.36.3.3.2.8.1.1.8": Curve("brainpoolP256t1", 256, None),
    "1.3.36.3.3.2.8.1.1.9": Curve("brainpoolP320r1", 320, None),
    "1.3.36.3.3.2.8.1.1.10": Curve("brainpoolP320t1", 320, None),
    "1.3.36.3.3.2.8.1.1.11": Curve("brainpoolP384r1", 384, None),
    "1.3.36.3.3.2.8.1.1.12": Curve("brainpoolP384t1", 384, None),
    "1.3.36.3.3.2.8.1.1.13": Curve("brainpoolP512r1", 512, None),
    "1.3.36.3.3.2.8.1.1.14": Curve("brainpoolP512t1", 512, None),
    "1.3.132.0.1": Curve("sect163k1", 163, "K-163"),
    "1.3.132.0.2": Curve("sect163r1", 162, None),
    "1.3.132.0.3": Curve("sect239k1", 238, None),
    "1.3.132.0.4": Curve("sect113r1", 113, None),
    "1.3.132.0.5": Curve("sect113r2", 113, None),
    "1.3.132.0.6": Curve("secp112r1", 112, None),
    "1.3.132.0.7": Curve("secp112r2", 110, None),
    "1.3.132.0.8": Curve("secp160r1", 161, None),
    "1.3.132.0.9": Curve("secp160k1", 161, None),
    "1.3.132.0.10": Curve("secp256k1", 256, None),
    "1.3.132.0.15": Curve("sect163r2", 163, "B-163"),
    "1.3.132.0.16": Curve("sect283k1", 281, "K-283"),
    "1.3.132.0.17": Curve("sect283r1", 282, "B-283"),
    "1.3.132.0.22": Curve("sect131r1", 131, None),
    "1.3.132.0.23": Curve("sect131r2", 131, None),
    "1.3.132.0.24": Curve("sect193r1", 193, None),
    "1.3.132.0.25": Curve("sect193r2", 193, None),
    "1.3.132.0.26": Curve("sect233k1", 232, "K-233"),
    "1.3.132.0.27": Curve("sect233r1", 233, "B-233"),
    "1.3.132.0.28": Curve("secp128r1", 128, None),
    "1.3.132.0.29": Curve("secp128r2", 126, None),
    "1.3.132.0.30": Curve("secp160r2", 161, None),
    "1.3.132.0.31": Curve("secp192k1", 192, None),
    "1.3.132.0.32": Curve("secp224k1", 225, None),
    "1.3.132.0.33": Curve("secp224r1", 224, "P-224"),
    "1.3.132.0.34": Curve("secp384r1", 384, "P-384"),
    "1.3.132.0.35": Curve("secp521r1", 521, "P-521"),
    "1.3.132.0.36": Curve("sect409k1", 407, "K-409"),
    "1.3.132.0.37": Curve("sect409r1", 409, "B-409"),
    "1.3.132.0.38": Curve("sect571k1", 570, "K-571"),
    "1.3.132.0.39": Curve("sect571r1", 570, "B-571"),
    "2.23.43.1.4.1": Curve("wap-wsg-idm-ecid-wtls1", 112, None),
    "2.23.43.1.4.3": Curve("wap-wsg-idm-ecid-wtls3", 163, None),
    "2.23.43.1.4.4": Curve("wap-wsg-idm-ecid-wtls4", 113, None),
    "2.23.43.1.4.5": Curve("wap-wsg-idm-ecid-wtls5", 163, None),
    "2.23.43.1.4.6": Curve("wap-wsg-idm-ecid-wtls6", 112, None),
    "2.23.43.1.4.7": Curve("wap-wsg-idm-ecid-wtls7", 161, None),
    "2.23.43.1.4.8": Curve("wap-wsg-idm-ecid-wtls8", 113, None),
    "2.23.43.1.4.9": Curve("wap-wsg-idm-ecid-wtls9", 161, None),
    "2.23.43.1.4.10": Curve("wap-wsg-idm-ecid-wtls10", 232, None),
    "2.23.43.1.4.11": Curve("wap-wsg-idm-ecid-wtls11", 233, None),
    "2.23.43.1.4.12": Curve("wap-wsg-idm-ecid-wtls12", 224, None),
}

SIGNATURES: dict[str, Signature] = {
    "1.2.840.113549.1.1.4": Signature("md5WithRSAEncryption", "RSA", "MD5"),
    "1.2.840.113549.1.1.5": Signature("sha1WithRSAEncryption", "RSA", "SHA1"),
    "1.3.14.3.2.29": Signature("sha1WithRSA", "RSA", "SHA1"),
    "1.2.840.113549.1.1.10": Signature("rsassaPss", "RSA-PSS", None),
    "1.2.840.113549.1.1.14": Signature("sha224WithRSAEncryption", "RSA", "SHA224"),
    "1.2.840.113549.1.1.11": Signature("sha256WithRSAEncryption", "RSA", "SHA256"),
    "1.2.840.113549.1.1.12": Signature("sha384WithRSAEncryption", "RSA", "SHA384"),
    "1.2.840.113549.1.1.13": Signature("sha512WithRSAEncryption", "RSA", "SHA512"),
    "1.2.840.113549.1.1.15": Signature("sha512-224WithRSAEncryption", "RSA", "SHA512_224"),
    "1.2.840.113549.1.1.16": Signature("sha512-256WithRSAEncryption", "RSA", "SHA512_256"),
    "2.16.840.1.101.3.4.3.13": Signature("RSA-SHA3-224", "RSA", "SHA3_224"),
    "2.16.840.1.101.3.4.3.14": Signature("RSA-SHA3-256", "RSA", "SHA3_256"),
    "2.16.840.1.101.3.4.3.15": Signature("RSA-SHA3-384", "RSA", "SHA3_384"),
    "2.16.840.1.101.3.4.3.16": Signature("RSA-SHA3-512", "RSA", "SHA3_512"),
    "1.2.840.10045.4.1": Signature("ecdsa-with-SHA1", "EC", "SHA1"),
    "1.2.840.10045.4.3.1": Signature("ecdsa-with-SHA224", "EC", "SHA224"),
    "1.2.840.10045.4.3.2": Signature("ecdsa-with-SHA256", "EC", "SHA256"),
    "1.2.840.10045.4.3.3": Signature("ecdsa-with-SHA384", "EC", "SHA384"),
    "1.2.840.10045.4.3.4": Signature("ecdsa-with-SHA512", "EC", "SHA512"),
    "2.16.840.1.101.3.4.3.9": Signature("ecdsa_with_SHA3-224", "EC", "SHA3_224"),
    "2.16.840.1.101.3.4.3.10": Signature("ecdsa_with_SHA3-256", "EC", "SHA3_256"),
    "2.16.840.1.101.3.4.3.11": Signature("ecdsa_with_SHA3-384", "EC", "SHA3_384"),
    "2.16.840.1.101.3.4.3.12": Signature("ecdsa_with_SHA3-512", "EC", "SHA3_512"),
    "1.2.840.10040.4.3": Signature("dsaWithSHA1", "DSA", "SHA1"),
    "2.16.840.1.101.3.4.3.1": Signature("dsa_with_SHA224", "DSA", "SHA224"),
    "2.16.840.1.101.3.4.3.2": Signature("dsa_with_SHA256", "DSA", "SHA256"),
    "2.16.840.1.101.3.4.3.3": Signature("dsa_with_SHA384", "DSA", "SHA384"),
    "2.16.840.1.101.3.4.3.4": Signature("dsa_with_SHA512", "DSA", "SHA512"),
    "1.3.101.112": Signature("ED25519", "ED25519", None),
    "1.3.101.113": Signature("ED448", "ED448", None),
    "2.16.840.1.101.3.4.3.17": Signature("ML-DSA-44", "ML-DSA-44", None),
    "2.16.840.1.101.3.4.3.18": Signature("ML-DSA-65", "ML-DSA-65", None),
    "2.16.840.1.101.3.4.3.19": Signature("ML-DSA-87", "ML-DSA-87", None),
    # What follows is too old to be verified, but has a name.
    "1.2.840.113549.1.1.2": Signature("md2WithRSAEncryption", "RSA", None),
    "1.2.840.113549.1.1.3": Signature("md4WithRSAEncryption", "RSA", None),
    "1.3.14.3.2.15": Signature("shaWithRSAEncryption", "RSA", None),
    "1.3.14.3.2.3": Signature("md5WithRSA", "RSA", None),
    "1.3.36.3.3.1.2": Signature("ripemd160WithRSA", "RSA", None),
    "1.3.14.3.2.13": Signature("dsaWithSHA", "DSA", None),
    "1.3.14.3.2.27": Signature("dsaWithSHA1-old", "DSA", None),
}
