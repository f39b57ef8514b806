// A TLS peer on Node's own tls module.  argv[2] says what to be, as JSON; what happens is printed, a
// JSON list [event, value] per line.  A server ends with its standard input.
//
//   role       "client" or "server"
//   options    of tls.connect or tls.createServer; {"$hex": ...} is a Buffer
//   psk        {identity, key}: supplies pskCallback
//   send       client: so many bytes of payload (a number), or a text
//   ends       client: "at once" when all is written, or "echoed" when as much has come back
//   does       server: "echo", or "digest": reads to the end, then tells the digest of it
//   contexts   server: [name, options] for addContext
//   ocsp       server: what 'OCSPRequest' is answered with, in hexadecimal digits; null for nothing
//   keylog     tells the lines of the key log
//   renegotiates  shakes hands again when the handshake is done, with these options
'use strict';
const tls = require('node:tls');
const { createHash } = require('node:crypto');

const given = JSON.parse(process.argv[2], (key, value) =>
  value && typeof value.$hex === 'string' ? Buffer.from(value.$hex, 'hex') : value);
const say = (event, value = null) => process.stdout.write(JSON.stringify([event, value]) + '\n');
process.on('uncaughtException', (error) => { say('uncaught', error.stack); process.exit(1); });

const sha256 = (data) => createHash('sha256').update(data);
const payload = (length) => {
  const blocks = [];
  for (let number = 0; number * 32 < length; number++) blocks.push(sha256(`${number}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
};

const describe = (socket) => ({
  protocol: socket.getProtocol(),
  cipher: socket.getCipher().standardName,
  alpn: socket.alpnProtocol,
  servername: socket.servername,
  authorized: socket.authorized,
  // An Error at a client that insists on nothing, a code elsewhere.
  authorizationError: socket.authorizationError && (socket.authorizationError.code || socket.authorizationError),
  reused: socket.isSessionReused(),
  finished: socket.getFinished().toString('hex'),
  peerFinished: socket.getPeerFinished().toString('hex'),
  peer: (socket.getPeerCertificate() || {}).fingerprint256,
});

const renegotiate = (socket) => {
  if (!given.renegotiates) return;
  const begun = socket.renegotiate(given.renegotiates, (error) =>
    say('renegotiated', error ? error.code || error.message : describe(socket)));
  say('renegotiates', begun);
};

const watch = (socket) => {
  let length = 0;
  const hash = createHash('sha256');
  const result = () => ({ length, digest: hash.copy().digest('hex') });
  socket.on('data', (data) => { length += data.length; hash.update(data); });
  socket.on('end', () => say('end'));
  socket.on('error', (error) => say('error', error.code || error.message));
  socket.on('close', (hadError) => say('close', { hadError, ...result() }));
  return result;
};

const client = () => {
  const { psk, options } = given;
  if (psk) {
    options.pskCallback = () => ({ identity: psk.identity, psk: Buffer.from(psk.key, 'hex') });
    options.checkServerIdentity = () => undefined;
  }
  const data = typeof given.send === 'number' ? payload(given.send) : Buffer.from(given.send || '');
  const socket = tls.connect({ host: '127.0.0.1', ...options }, () => {
    say('secure', describe(socket));
    renegotiate(socket);
    socket.write(data);
    if (given.ends === 'at once') socket.end();
  });
  socket.on('session', (session) => say('session', session.toString('hex')));
  if (given.keylog) socket.on('keylog', (line) => say('keylog', line.toString()));
  socket.on('OCSPResponse', (staple) => say('staple', staple && staple.toString('hex')));
  const result = watch(socket);
  if (given.ends === 'echoed') {
    socket.on('data', () => { if (result().length === data.length) socket.end(); });
  }
};

const server = () => {
  const { psk, options } = given;
  if (psk) {
    options.pskCallback = (socket, identity) =>
      identity === psk.identity ? Buffer.from(psk.key, 'hex') : null;
  }
  const serving = tls.createServer({ allowHalfOpen: given.does === 'digest', ...options });
  serving.on('secureConnection', (socket) => {
    say('secure', describe(socket));
    const result = watch(socket);
    renegotiate(socket);
    if (given.does === 'digest') socket.on('end', () => socket.end(result().digest));
    else socket.pipe(socket);
  });
  serving.on('tlsClientError', (error) => say('clientError', error.code || error.message));
  if (given.keylog) serving.on('keylog', (line) => say('keylog', line.toString()));
  if (given.ocsp !== undefined) {
    serving.on('OCSPRequest', (certificate, issuer, answer) => {
      say('asked', { certificate: certificate.toString('hex'), issuer: issuer && issuer.toString('hex') });
      answer(null, given.ocsp === null ? null : Buffer.from(given.ocsp, 'hex'));
    });
  }
  for (const [name, options] of given.contexts || []) serving.addContext(name, options);
  serving.listen(0, '127.0.0.1', () => say('listening', serving.address().port));
  process.stdin.on('end', () => process.exit(0)).resume();
};

({ client, server })[given.role]();
