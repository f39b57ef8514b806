// What Node says of certificates.  One JSON object per line comes in:
//
//   cert     the certificate, DER in base64
//   issuer   DER in base64 of the certificate that signed it
//   key      a private key, PKCS #8 in base64
//   hosts, emails, ips   what it is checked for; [name, options] each
//   identities           host names for tls.checkServerIdentity; null: not even the legacy object is
//                        to be made, which Node 24.19 does not survive where a curve has no name of NIST's
//
// and one goes out: an error, or what came of each.  Bytes are in hexadecimal digits.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const tls = require('node:tls');

const bytes = (text) => Buffer.from(text, 'base64');
const plain = (value) => {
  if (Buffer.isBuffer(value)) return { $hex: value.toString('hex') };
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.getTime();
  if (Array.isArray(value)) return value.map(plain);
  if (value === undefined) return null;
  // Entries, so that the order is told, and a key like __proto__ too.
  if (value && typeof value === 'object') return { $entries: Object.entries(value).map(([k, v]) => [k, plain(v)]) };
  return value;
};
const attempt = (what) => {
  try { return plain(what()); } catch (error) { return { $error: [error.code || null, error.message] }; }
};
const identity = (host, cert) => {
  const error = tls.checkServerIdentity(host, cert);
  return error && { code: error.code, message: error.message, reason: error.reason, host: error.host };
};
const MEMBERS = ['subject', 'issuer', 'subjectAltName', 'infoAccess', 'validFrom', 'validTo', 'validFromDate',
  'validToDate', 'fingerprint', 'fingerprint256', 'fingerprint512', 'keyUsage', 'serialNumber',
  'signatureAlgorithm', 'signatureAlgorithmOid', 'ca', 'raw', 'issuerCertificate'];

const judge = ({ cert, issuer, key, hosts, emails, ips, identities }) => {
  let certificate;
  try { certificate = new crypto.X509Certificate(bytes(cert)); } catch (error) {
    return { refused: error.code || error.message };
  }
  const found = {};
  for (const name of MEMBERS) found[name] = attempt(() => certificate[name]);
  found.publicKey = attempt(() => certificate.publicKey.export({ type: 'spki', format: 'der' }));
  found.toString = attempt(() => certificate.toString());
  found.toJSON = attempt(() => certificate.toJSON());
  found.hosts = hosts.map(([name, options]) => attempt(() => certificate.checkHost(name, options || undefined)));
  found.emails = emails.map(([name, options]) => attempt(() => certificate.checkEmail(name, options || undefined)));
  found.ips = ips.map(([name]) => attempt(() => certificate.checkIP(name)));
  if (issuer) {
    const above = new crypto.X509Certificate(bytes(issuer));
    found.checkIssued = attempt(() => certificate.checkIssued(above));
    found.verify = attempt(() => certificate.verify(above.publicKey));
  }
  found.selfIssued = attempt(() => certificate.checkIssued(certificate));
  found.selfSigned = attempt(() => certificate.verify(certificate.publicKey));
  if (key) {
    const loaded = crypto.createPrivateKey({ key: bytes(key), format: 'der', type: 'pkcs8' });
    found.checkPrivateKey = attempt(() => certificate.checkPrivateKey(loaded));
  }
  if (!identities) return found;
  const legacy = certificate.toLegacyObject();
  found.toLegacyObject = plain(legacy);
  found.identities = identities.map((host) => attempt(() => identity(host, legacy)));
  return found;
};

for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
  // Nothing is held back: of some certificates Node dies, and what it said before is to be there.
  fs.writeSync(1, JSON.stringify(judge(JSON.parse(line))) + '\n');
}
