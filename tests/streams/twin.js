// Runs scripts of stream operations on Node's own Duplex and prints what happened.
// stdin: a JSON list of scripts; stdout: the JSON list of their traces.  See test_parity.py, whose
// class Twin is the same in Python.
'use strict';
const { Duplex } = require('stream');

const text = (chunk) => chunk === null || chunk === undefined ? null :
  typeof chunk === 'string' ? 's:' + chunk : 'b:' + chunk.toString('latin1');
const code = (error) => error === null || error === undefined ? null : error.code || error.message;

class Twin extends Duplex {
  constructor(options, name, trace) {
    super(options.marks);
    this.allowHalfOpen = options.allowHalfOpen;
    this.sink = options.sink;
    this.closing = options.closing;
    this.held = [];
    this.heldFinal = this.heldDestroy = null;
    this.name = name;
    this.log = (...what) => trace.push([name, ...what]);
    for (const event of ['end', 'finish', 'drain', 'pause', 'resume', 'close'])
      this.on(event, () => this.log(event));
    for (const event of ['pipe', 'unpipe']) this.on(event, (source) => this.log(event, source.name));
    this.on('error', (error) => this.log('error', code(error)));
    this.onData = (chunk) => this.log('data', text(chunk));
    this.readers = {
      all: () => { this.log('readable'); for (let c; (c = this.read()) !== null;) this.log('got', text(c)); },
      three: () => { this.log('readable'); this.log('got', text(this.read(3))); },
      none: () => { this.log('readable'); },
    };
  }
  _read() {}
  take(what, callback) {
    this.log('sink', what);
    if (this.sink === 'now') callback(); else this.held.push(callback);
  }
  _write(chunk, encoding, callback) { this.take(text(chunk), callback); }
  _writev(chunks, callback) { this.take(chunks.map((c) => text(c.chunk)).join('+'), callback); }
  _final(callback) {
    this.log('final');
    if (this.closing === 'now') callback(); else this.heldFinal = callback;
  }
  _destroy(error, callback) {
    this.log('destroy', code(error));
    for (const held of this.held.splice(0)) held(new Error('cut'));
    if (this.closing === 'now') callback(error); else this.heldDestroy = () => callback(error);
  }
  state() {
    return [this.readable, this.writable, this.readableFlowing, this.readableLength, this.readableEnded,
      this.writableLength, this.writableEnded, this.writableFinished, this.writableNeedDrain,
      this.writableCorked, this.destroyed, this.closed, code(this.errored), this.isPaused(),
      this.readableAborted, this.readableEncoding];
  }
}

const done = (s, id) => (error) => s.log('cb', id, code(error));
const operations = {
  push: (s, all, chunk) => { if (!s.destroyed && !(s.over && s.readableLength)) s.log('pushed', s.push(Buffer.from(chunk))); },
  eof: (s) => { if (!s.destroyed) { s.over = true; s.push(null); } },
  unshift: (s, all, chunk) => { if (!s.readableEnded && !s.readableEncoding) s.unshift(Buffer.from(chunk)); },
  write: (s, all, chunk, id) => s.log('wrote', id === null ? s.write(chunk) : s.write(chunk, done(s, id))),
  end: (s, all, chunk, id) => { if (s.destroyed) id = null; id === null ? s.end(chunk) : s.end(chunk, done(s, id)); },
  cork: (s) => s.cork(),
  uncork: (s) => s.uncork(),
  pause: (s) => s.pause(),
  resume: (s) => s.resume(),
  onData: (s) => s.on('data', s.onData),
  offData: (s) => s.off('data', s.onData),
  onReadable: (s, all, which) => s.on('readable', s.readers[which]),
  onceReadable: (s, all, which) => s.once('readable', s.readers[which]),
  offReadable: (s, all, which) => s.off('readable', s.readers[which]),
  offAll: (s, all, event) => s.removeAllListeners(event),
  read: (s, all, n) => s.log('got', text(n === null ? s.read() : s.read(n))),
  setEncoding: (s, all, encoding) => s.setEncoding(encoding),
  destroy: (s, all, message) => { if (!s.readableLength) s.destroy(message === null ? undefined : new Error(message)); },
  ack: (s) => { if (s.held.length) s.held.shift()(); },
  refuse: (s) => { if (s.held.length && !s.readableLength) s.held.shift()(new Error('refused')); },
  ackFinal: (s) => { const f = s.heldFinal; s.heldFinal = null; if (f) f(); },
  refuseFinal: (s) => { const f = s.heldFinal; if (f && !s.readableLength) { s.heldFinal = null; f(new Error('final')); } },
  ackDestroy: (s) => { const f = s.heldDestroy; s.heldDestroy = null; if (f) f(); },
  pipe: (s, all, to, end) => s.pipe(all[to], { end }),
  unpipe: (s, all, to) => s.unpipe(to === null ? undefined : all[to]),
};
const needless = new Set(['pause', 'resume', 'onData', 'offData', 'onReadable', 'onceReadable', 'offReadable', 'offAll', 'pipe', 'unpipe', 'read', 'unshift', 'setEncoding']);

function run(script, finished) {
  const trace = [];
  const all = script.streams.map((options, i) => new Twin(options, i, trace));
  const turns = script.turns.slice();
  function turn() {
    for (const s of all) trace.push([s.name, 'state', ...s.state()]);
    if (!turns.length) return finished(trace);
    for (const [index, name, ...args] of turns.shift()) {
      const s = all[index];
      if (s.destroyed && needless.has(name)) continue;
      if (!s.destroyed && s.readableLength && s.writableEnded && (name === 'write' || name === 'end')) continue;
      try { operations[name](s, all, ...args); } catch (error) { s.log('threw', code(error)); }
    }
    setImmediate(turn);
  }
  setImmediate(turn);
}

const scripts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const traces = [];
(function next() {
  if (traces.length === scripts.length) return process.stdout.write(JSON.stringify(traces));
  run(scripts[traces.length], (trace) => { traces.push(trace); next(); });
})();
