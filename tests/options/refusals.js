'use strict';
// Reads [[call, options], ...] as JSON and answers what each call throws: null, or an object with
// name, code, message.  Nothing is sent anywhere: what is opened is ended at once.
const fs = require('fs');
const net = require('net');
const tls = require('tls');

// What JSON cannot say.
const SPECIAL = { nan: NaN, infinity: Infinity, function: () => {} };

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value;
  if ('$' in value) return SPECIAL[value.$];
  if ('$hex' in value) return Buffer.from(value.$hex, 'hex');
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, revive(each)]));
}

const CALLS = {
  createSecureContext: (options) => tls.createSecureContext(options),
  createServer: (options) => tls.createServer(options),
  connect: (options) => tls.connect({ host: 'localhost', port: 9, ...options }),
  TLSSocket: (options) => new tls.TLSSocket(new net.Socket(), options),
  'TLSSocket of a server': (options) =>
    new tls.TLSSocket(new net.Socket(), { isServer: true, ...options }),
};

process.removeAllListeners('warning');
process.on('warning', () => {});
const answers = JSON.parse(fs.readFileSync(0)).map(([call, options]) => {
  try {
    const made = CALLS[call](revive(options));
    if (made.destroy) made.on('error', () => {}).destroy();
    return null;
  } catch (error) {
    return { name: error.name, code: error.code ?? null, message: error.message };
  }
});
fs.writeSync(1, JSON.stringify(answers));
process.exit(0);
