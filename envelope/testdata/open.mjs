// Opens the frozen records of the format in ../FORMAT.md with Node's own crypto, given their data keys:
//   node open.mjs v1.json
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

// parse checks every length before it is used.
export function parse(record) {
  const need = (end) => {
    if (end > record.length) throw new Error(`the record ends before offset ${end}`);
  };
  need(39);
  if (record.toString("hex", 0, 4) !== "8a4b4845") throw new Error("offset 0: not a record");
  if (record[4] !== 1) throw new Error("offset 4: want version 1");
  const suite = record[5];
  if (!suites[suite]) throw new Error("offset 5: unknown suite");
  const count = record[38];
  if (count < 1 || count > 16) throw new Error("offset 38: want 1 to 16 copies");
  const copies = [];
  let at = 39;
  for (let i = 0; i < count; i++) {
    need(at + 2);
    const size = record.readUInt16BE(at);
    if (size < 1 || size > 8192) throw new Error(`offset ${at}: want 1 to 8192`);
    at += 2;
    need(at + size);
    copies.push(record.subarray(at, at + size));
    at += size;
  }
  need(at + 28);
  return {
    suite,
    commitment: record.subarray(6, 38),
    copies,
    nonce: record.subarray(at, at + 12),
    ciphertext: record.subarray(at + 12, record.length - 16),
    tag: record.subarray(record.length - 16),
  };
}

export function open(record, dataKey, context) {
  const r = parse(record);
  const { cipher, keySize } = suites[r.suite];
  const derive = (label, size) =>
    Buffer.from(hkdfSync("sha256", dataKey, "keyhaul envelope v1", Buffer.concat([Buffer.from(label), Buffer.from([r.suite])]), size));
  if (!derive("commitment", 32).equals(r.commitment)) throw new Error("offset 6: another data key");
  const key = derive("payload", keySize);
  const bound = Buffer.concat([record.subarray(0, 38), encodeContext(context)]);
  if (!getCiphers().includes(cipher)) return openGCM("sm4", key, r, bound);
  const d = createDecipheriv(cipher, key, r.nonce, { authTagLength: 16 });
  d.setAAD(bound);
  d.setAuthTag(r.tag);
  return Buffer.concat([d.update(r.ciphertext), d.final()]);
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
const vectors = JSON.parse(readFileSync(process.argv[2]));
for (const v of vectors) {
  const plaintext = open(hex(v.record), hex(v.data_key), v.context);
  if (!plaintext.equals(hex(v.plaintext))) throw new Error(`${v.name}: another plaintext`);
  const copies = parse(hex(v.record)).copies.map((c) => c.toString("hex"));
  if (copies.join() !== v.wrapped.join()) throw new Error(`${v.name}: other copies`);
  let refused = false;
  const broken = hex(v.record);
  broken[broken.length - 1] ^= 1;
  try {
    open(broken, hex(v.data_key), v.context);
  } catch {
    refused = true;
  }
  if (!refused) throw new Error(`${v.name}: a changed tag was taken`);
}
console.log(`${vectors.length} records opened`);
