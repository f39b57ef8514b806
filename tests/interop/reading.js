// What Node says of texts that a context is given.  One JSON object per line comes in:
//
//   option     'cert', 'ca', 'key', 'crl', 'pfx', 'dhparam' or 'x509' (a certificate by itself)
//   data       what it is given, in base64
//   issued     of 'ca': a certificate (PEM, base64) that the authority has issued
//   passphrase of 'key' and 'pfx'
//
// and one goes out: { found } or { code, message }.  `found` is the first certificate, or the
// authority that was found for `issued`, without its last 120 bytes, in hexadecimal digits; true where Node does not tell more.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const tls = require('node:tls');

process.removeAllListeners('warning');
process.on('warning', () => {});
const bytes = (text) => Buffer.from(text, 'base64');
const READERS = {
  cert: (cert) => tls.createSecureContext({ cert }).context.getCertificate(),
  ca: (ca, { issued }) => tls.createSecureContext({ ca, cert: bytes(issued) }).context.getIssuer(),
  key: (key, { passphrase }) => tls.createSecureContext({ key, passphrase }) && true,
  crl: (crl) => tls.createSecureContext({ crl }) && true,
  pfx: (pfx, { passphrase }) => tls.createSecureContext({ pfx, passphrase }) && true,
  dhparam: (dhparam) => tls.createSecureContext({ dhparam }) && true,
  x509: (data) => new crypto.X509Certificate(data).raw,
};
const read = (asked) => {
  try {
    const found = READERS[asked.option](bytes(asked.data), asked);
    return { found: Buffer.isBuffer(found) ? found.subarray(0, -120).toString('hex') : found ?? null };
  } catch (error) {
    return { code: error.code ?? null, message: error.message };
  }
};
for (const line of fs.readFileSync(0, 'utf8').split('\n'))
  if (line) console.log(JSON.stringify(read(JSON.parse(line))));
