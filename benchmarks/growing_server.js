// Node with many contexts, or with many sessions in store: what growing_face.py is, in Node.
'use strict';
const crypto = require('crypto'), fs = require('fs'), path = require('path'), tls = require('tls');
const env = process.env;
const options = { cert: fs.readFileSync(env.BENCH_CERT), key: fs.readFileSync(env.BENCH_KEY) };
if (env.BENCH_SESSIONS) options.secureOptions = crypto.constants.SSL_OP_NO_TICKET;
const kept = new Map();
let last;
const server = tls.createServer(options, (socket) => {
  socket.on('error', () => {});
  socket.on('data', (data) => {
    if (data[0] === 70) { // F
      const count = Number(data.toString('latin1', 2));
      for (let i = 0; i < count; i++) {
        kept.set(crypto.randomBytes(32).toString('latin1'), Buffer.from(last));
      }
      socket.write('K\n');
    } else {
      socket.write(data.subarray(data.indexOf(10) + 1)); // E
    }
  });
});
server.on('tlsClientError', () => {});
if (env.BENCH_SESSIONS) {
  server.on('newSession', (id, data, done) => { kept.set(id.toString('latin1'), last = data); done(); });
  server.on('resumeSession', (id, done) => done(null, kept.get(id.toString('latin1')) || null));
}
for (const name of env.BENCH_CONTEXTS ? fs.readdirSync(env.BENCH_CONTEXTS).sort() : []) {
  const both = fs.readFileSync(path.join(env.BENCH_CONTEXTS, name));
  server.addContext(path.basename(name, '.pem'), tls.createSecureContext({ cert: both, key: both }));
}
server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => console.log('READY ' + server.address().port));
