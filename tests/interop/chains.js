// TLS servers with odd certificates.  One JSON line comes in, a list of {key, chain}: a private key, PKCS #8 in
// base64, and the certificates, DER in base64, the server's own first.  One line goes out: for each the port on
// 127.0.0.1, and what Node's own client is told by getPeerCertificate(true) there.  It ends with its standard input.
'use strict';
const crypto = require('node:crypto');
const { once } = require('node:events');
const tls = require('node:tls');

const bytes = (text) => Buffer.from(text, 'base64');
const pem = (text) => new crypto.X509Certificate(bytes(text)).toString();
const plain = (value) => {
  if (Buffer.isBuffer(value)) return { $hex: value.toString('hex') };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return {
      // Undefined and absent are one in Python.
      $entries: Object.entries(value).filter(([, each]) => each !== undefined).map(([key, each]) => [key, each === value ? { $self: true } : plain(each)]),
    };
  }
  return value;
};

const serve = async ({ key, chain }) => {
  const loaded = crypto.createPrivateKey({ key: bytes(key), format: 'der', type: 'pkcs8' });
  const server = tls.createServer({
    key: loaded.export({ type: 'pkcs8', format: 'pem' }),
    cert: chain.map(pem).join(''),
  });
  server.on('secureConnection', (socket) => socket.on('error', () => {}).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const client = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(client, 'secureConnect');
  const peer = plain(client.getPeerCertificate(true));
  client.end();
  return { port, peer };
};

let given = '';
process.stdin.on('data', async (data) => {
  given += data;
  if (!given.endsWith('\n')) return;
  const served = [];
  for (const each of JSON.parse(given)) served.push(await serve(each));
  process.stdout.write(JSON.stringify(served) + '\n');
});
process.stdin.on('end', () => process.exit(0));
