// Opens the frozen records, records with their data key in a table, and streams of the format in ../FORMAT.md with Node's own
// crypto, given their data keys:
//   node open.mjs v1.json v1-table.json v1-streams.json
import { createCipheriv, createDecipheriv, getCiphers, hkdfSync, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const suites = {
  1: { cipher: "aes-256-gcm", keySize: 32 },
  2: { cipher: "sm4-gcm", keySize: 16 },
};

function u32(n) {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
}

function encodeContext(context) {
  const entries = Object.entries(context ?? {}).map(([k, v]) => [Buffer.from(k), Buffer.from(v)]);
  entries.sort(([a], [b]) => Buffer.compare(a, b));
  const parts = [u32(entries.length)];
  for (const [name, value] of entries) parts.push(u32(name.length), name, u32(value.length), value);
  return Buffer.concat(parts);
}

// parseHead reads what stands before the nonce of a record or the salt of a stream, and checks every length before it is used.
function parseHead(record, magic) {
  const need = (end) => {
    if (end > record.length) throw new Error(`the record ends before offset ${end}`);
  };
  need(39);
  if (record.toString("hex", 0, 4) !== magic) throw new Error(`offset 0: want ${magic}`);
  if (record[4] !== 1) throw new Error("offset 4: want version 1");
  const suite = record[5];
  if (!suites[suite]) throw new Error("offset 5: unknown suite");
  const head = { suite, fixed: record.subarray(0, 38), commitment: record.subarray(6, 38), copies: [] };
  const count = record[38];
  if (count === 0 && magic === recordMagic) {
    need(55);
    return { ...head, id: record.subarray(39, 55), end: 55 };
  }
  if (count < 1 || count > 16) throw new Error("offset 38: want 1 to 16 copies");
  let at = 39;
  for (let i = 0; i < count; i++) {
    need(at + 2);
    const size = record.readUInt16BE(at);
    if (size < 1 || size > 8192) throw new Error(`offset ${at}: want 1 to 8192`);
    at += 2;
    need(at + size);
    head.copies.push(record.subarray(at, at + size));
    at += size;
  }
  return { ...head, end: at };
}

const recordMagic = "8a4b4845", streamMagic = "8a4b4853";

export function parse(record) {
  const head = parseHead(record, recordMagic);
  if (head.end + 28 > record.length) throw new Error(`the record ends before offset ${head.end + 28}`);
  return { ...head, nonce: record.subarray(head.end, head.end + 12), sealed: record.subarray(head.end + 12) };
}

// derive makes a key of a data key, and the commitment, which must be the record's.
function derive(head, dataKey, label, more) {
  const expand = (info, size) => Buffer.from(hkdfSync("sha256", dataKey, "keyhaul envelope v1", info, size));
  const info = (label) => Buffer.concat([Buffer.from(label), Buffer.from([head.suite])]);
  if (!expand(info("commitment"), 32).equals(head.commitment)) throw new Error("offset 6: another data key");
  return expand(Buffer.concat([info(label), more]), suites[head.suite].keySize);
}

// unseal opens ciphertext and tag.
function unseal(suite, key, nonce, sealed, bound) {
  if (sealed.length < 16) throw new Error("want a tag of 16 bytes");
  const cut = sealed.length - 16;
  const r = { nonce, ciphertext: sealed.subarray(0, cut), tag: sealed.subarray(cut) };
  const { cipher } = suites[suite];
  if (!getCiphers().includes(cipher)) return openGCM("sm4", key, r, bound);
  const d = createDecipheriv(cipher, key, nonce, { authTagLength: 16 });
  d.setAAD(bound);
  d.setAuthTag(r.tag);
  return Buffer.concat([d.update(r.ciphertext), d.final()]);
}

export function open(record, dataKey, context) {
  const r = parse(record);
  const key = derive(r, dataKey, "payload", Buffer.alloc(0));
  return unseal(r.suite, key, r.nonce, r.sealed, Buffer.concat([r.fixed, encodeContext(context)]));
}

const chunkSize = 65536;

// openStream returns how many chunks a stream has, how long its plaintext is, and a function that opens one chunk and reads no other.
export function openStream(header, body, dataKey, context) {
  const head = parseHead(header, streamMagic);
  if (header.length !== head.end + 32) throw new Error("want a salt of 32 bytes at the end of the header");
  const salt = header.subarray(head.end);
  const key = derive(head, dataKey, "stream", Buffer.concat([salt, head.fixed, encodeContext(context)]));
  const chunks = Math.max(1, Math.ceil(body.length / (chunkSize + 16)));
  const chunk = (i) => {
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64BE(BigInt(i), 3);
    nonce[11] = i === chunks - 1 ? 1 : 0;
    const at = i * (chunkSize + 16);
    return unseal(head.suite, key, nonce, body.subarray(at, at + chunkSize + 16), Buffer.alloc(0));
  };
  return { copies: head.copies, chunks, length: body.length - 16 * chunks, chunk };
}

// openGCM is GCM (NIST SP 800-38D) over a block cipher that OpenSSL offers in ECB and CTR mode only, as older ones do for SM4.
function openGCM(block, key, r, bound) {
  const encrypt = (b) => createCipheriv(`${block}-ecb`, key, null).setAutoPadding(false).update(b);
  const big = (b) => BigInt("0x" + b.toString("hex"));
  const h = big(encrypt(Buffer.alloc(16)));
  const multiply = (x) => {
    let z = 0n, v = h;
    for (let i = 127n; i >= 0n; i--) {
      if ((x >> i) & 1n) z ^= v;
      v = v & 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n;
    }
    return z;
  };
  let y = 0n;
  const absorb = (data) => {
    for (let at = 0; at < data.length; at += 16) {
      const part = Buffer.alloc(16);
      data.copy(part, 0, at, at + 16);
      y = multiply(y ^ big(part));
    }
  };
  absorb(bound);
  absorb(r.ciphertext);
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64BE(BigInt(bound.length * 8), 0);
  lengths.writeBigUInt64BE(BigInt(r.ciphertext.length * 8), 8);
  absorb(lengths);
  const counter = (n) => Buffer.concat([r.nonce, u32(n)]);
  const mask = big(encrypt(counter(1)));
  const tag = Buffer.from((y ^ mask).toString(16).padStart(32, "0"), "hex");
  if (!timingSafeEqual(tag, r.tag)) throw new Error("the tag does not fit");
  return createDecipheriv(`${block}-ctr`, key, counter(2)).update(r.ciphertext);
}

const hex = (text) => Buffer.from(text, "hex");
const same = (a, b, what) => {
  if (!a.equals(b)) throw new Error(`${what}: another plaintext`);
};
const refuses = (what, broken, open) => {
  try {
    open(broken);
  } catch {
    return;
  }
  throw new Error(`${what}: a changed byte was taken`);
};
const flipped = (record, at) => {
  const broken = Buffer.from(record);
  broken[at] ^= 1;
  return broken;
};
const sameCopies = (v, copies) => {
  if (copies.map((c) => c.toString("hex")).join() !== v.wrapped.join()) throw new Error(`${v.name}: other copies`);
};

function checkRecords(vectors) {
  for (const v of vectors) {
    const record = hex(v.record);
    same(open(record, hex(v.data_key), v.context), hex(v.plaintext), v.name);
    sameCopies(v, parse(record).copies);
    refuses(v.name, flipped(record, record.length - 1), (broken) => open(broken, hex(v.data_key), v.context));
  }
  return vectors.length;
}

// The id in a record finds the entry, whose data key opens both.
function checkTable({ entries, records }) {
  const table = new Map();
  for (const v of entries) {
    same(open(hex(v.entry), hex(v.data_key), v.context), Buffer.alloc(0), `entry ${v.id}`);
    sameCopies(v, parse(hex(v.entry)).copies);
    table.set(v.id, v);
  }
  for (const [i, v] of records.entries()) {
    const record = hex(v.record);
    const entry = table.get(parse(record).id.toString("hex"));
    same(open(record, hex(entry.data_key), v.context), hex(v.plaintext), `record ${i}`);
    refuses(`record ${i}`, flipped(record, record.length - 1), (broken) => open(broken, hex(entry.data_key), v.context));
  }
  return records.length;
}

function checkStreams(vectors) {
  for (const v of vectors) {
    const stream = Buffer.from(v.stream, "base64");
    const cut = v.header ? 0 : parseHead(stream, streamMagic).end + 32;
    const header = v.header ? hex(v.header) : stream.subarray(0, cut), body = stream.subarray(cut);
    const plaintext = v.pattern ? Buffer.from(Array.from({ length: v.pattern }, (_, i) => i ^ (i >> 8) ^ (i >> 16))) : hex(v.plaintext);
    const s = openStream(header, body, hex(v.data_key), v.context);
    if (s.length !== plaintext.length) throw new Error(`${v.name}: another length`);
    sameCopies(v, s.copies);
    // From the last chunk to the first: each opens without the others.
    for (let i = s.chunks - 1; i >= 0; i--) same(s.chunk(i), plaintext.subarray(i * chunkSize, (i + 1) * chunkSize), `${v.name}, chunk ${i}`);
    refuses(v.name, flipped(body, body.length - 1), (broken) => openStream(header, broken, hex(v.data_key), v.context).chunk(s.chunks - 1));
    if (s.chunks > 1) {
      refuses(`${v.name}, cut`, body.subarray(0, chunkSize + 16), (broken) => openStream(header, broken, hex(v.data_key), v.context).chunk(0));
    }
  }
  return vectors.length;
}

let count = 0;
for (const path of process.argv.slice(2)) {
  const vectors = JSON.parse(readFileSync(path));
  if (!Array.isArray(vectors)) count += checkTable(vectors);
  else count += vectors[0].stream ? checkStreams(vectors) : checkRecords(vectors);
}
console.log(`${count} opened`);
