// Opens records of Alibaba's Encryption SDK with Node's own crypto, given their data keys. It shares no code with the Go package:
//   node esdk.mjs < records.json
// where each record has form ("message" or "stream"), record, data_key, context and plaintext. It prints how many were opened.
import { createCipheriv, createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";

const algorithms = {
  1: ["aes-128-gcm", 12], 2: ["aes-256-gcm", 12], 3: ["aes-128-cbc", 16], 4: ["aes-256-cbc", 16],
  5: ["aes-128-cbc", 16, true], 6: ["aes-256-cbc", 16, true], 7: ["aes-128-ctr", 16], 8: ["aes-256-ctr", 16],
};

function u32(n) {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
}
const part = (b) => Buffer.concat([u32(b.length), b]);

// DER: a value's kind, content, and what follows it.
function der(b, kind) {
  if (b[0] !== kind) throw new Error(`want kind ${kind}`);
  let size = b[1], head = 2;
  if (size > 0x80) {
    head += size & 0x7f;
    size = b.readUIntBE(2, head - 2);
  }
  if (b.length < head + size) throw new Error("a value ends early");
  return [b.subarray(head, head + size), b.subarray(head + size)];
}
function members(b, kind) {
  const all = [];
  for (let rest = b; rest.length > 0;) {
    const [value, after] = der(rest, kind);
    all.push(value);
    rest = after;
  }
  return all;
}
function pairs(set) {
  return members(set, 0x30).map((pair) => members(pair, 0x04));
}

function parseMessage(record) {
  const [headerBytes, bodyBytes] = members(der(record, 0x30)[0], 0x30);
  let [version, rest] = der(headerBytes, 0x02), algorithm, keys, context;
  [algorithm, rest] = der(rest, 0x02);
  [keys, rest] = der(rest, 0x31);
  [context, rest] = der(rest, 0x31);
  const [headerIV, headerTag] = members(rest, 0x04);
  const [iv, ciphertext, tag] = members(bodyBytes, 0x04);
  return {
    version: version[0], algorithm: algorithm[0], context: pairs(context), headerIV, headerTag, iv, ciphertext, tag,
    keys: pairs(keys).map(([arn, key]) => [arn, /^[A-Za-z0-9+/=]+$/.test(key.toString("latin1")) ? key : Buffer.from(key.toString("base64"))]),
  };
}

function parseStream(record) {
  let at = 0;
  const number = () => record.readUInt32BE((at += 4) - 4);
  const bytes = (n) => {
    if (at + n > record.length) throw new Error("the stream ends early");
    return record.subarray(at, (at += n));
  };
  const m = { version: number(), algorithm: number(), context: [], keys: [] };
  const end = number() + at;
  if (end > at) for (let n = number(); n > 0; n--) m.context.push([bytes(number()), bytes(number())]);
  if (at !== end) throw new Error("the context has another length");
  for (let n = number(); n > 0; n--) m.keys.push([bytes(number()), bytes(number())]);
  m.headerIV = bytes(number());
  m.headerTag = bytes(number());
  m.iv = bytes(record.readUInt32LE((at += 4) - 4));
  const tagSize = m.iv.length === 12 ? 16 : 0;
  m.ciphertext = record.subarray(at, record.length - tagSize);
  m.tag = record.subarray(record.length - tagSize);
  return m;
}

// Releases for Java before 1.0.7 left out the version, counted no entries too, and sorted names as UTF-16.
function encodeContext(context, old) {
  if (context.length === 0 && !old) return Buffer.alloc(0);
  const order = old
    ? ([a], [b]) => (a.toString() < b.toString() ? -1 : 1)
    : ([a], [b]) => Buffer.compare(a, b);
  return Buffer.concat([u32(context.length), ...[...context].sort(order).flatMap(([k, v]) => [part(k), part(v)])]);
}

function headerTag(m, key, old) {
  const c = createCipheriv(key.length === 16 ? "aes-128-gcm" : "aes-256-gcm", key, m.headerIV, { authTagLength: 16 });
  const keys = [...m.keys].sort(([a], [b]) => Buffer.compare(a, b));
  c.setAAD(Buffer.concat([
    ...(old ? [] : [u32(m.version)]), u32(m.algorithm), u32(m.context.length), encodeContext(m.context, old),
    u32(keys.length), ...keys.flatMap(([arn, text]) => [part(arn), part(text)]),
  ]));
  c.final();
  return c.getAuthTag();
}

export function open(form, record, key) {
  const m = form === "stream" ? parseStream(record) : parseMessage(record);
  const [name, ivSize, pad] = algorithms[m.algorithm];
  if (m.iv.length !== ivSize) throw new Error("another length of nonce");
  const old = [false, true].find((old) => headerTag(m, key, old).equals(m.headerTag));
  if (old === undefined) throw new Error("the header's tag does not fit");
  const d = createDecipheriv(name, key, m.iv, name.endsWith("gcm") ? { authTagLength: 16 } : {});
  if (name.endsWith("gcm")) {
    d.setAAD(encodeContext(m.context, old));
    d.setAuthTag(m.tag);
  } else d.setAutoPadding(!!pad);
  return { ...m, plaintext: Buffer.concat([d.update(m.ciphertext), d.final()]) };
}

const hex = (text) => Buffer.from(text, "hex");
const records = JSON.parse(readFileSync(0));
for (const [i, r] of records.entries()) {
  const m = open(r.form, hex(r.record), hex(r.data_key));
  if (!m.plaintext.equals(hex(r.plaintext))) throw new Error(`record ${i}: another plaintext`);
  const context = Object.fromEntries(m.context.map(([k, v]) => [k.toString(), v.toString()]));
  const sorted = (o) => JSON.stringify(Object.entries(o ?? {}).sort());
  if (sorted(context) !== sorted(r.context)) throw new Error(`record ${i}: another context`);
  if (m.keys.length !== r.keys) throw new Error(`record ${i}: another number of wrapped data keys`);
}
console.log(`${records.length} records opened`);
