// Drives the official Node clients of KMS against a running examples/fakekms: node clients.js DIR. The first client sends GET requests
// without a nonce and with timestamps in milliseconds, the second POST requests with the parameters in the form. Exits 1 at the first
// thing that is not as it should be.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const KmsClient = require('@alicloud/kms-sdk');
const V2 = require('@alicloud/kms20160120');
const { Config } = require('@alicloud/rpc-client');

const cloud = JSON.parse(fs.readFileSync(path.join(process.argv[2], 'fakekms.json')));
const region = cloud.regions.find((r) => r.id === 'cn-hangzhou');
const instance = cloud.instances.find((i) => i.kind === 'software');

function old(endpoint, secret) {
  return new KmsClient({ endpoint, accessKeyId: cloud.access_key_id, accessKeySecret: secret });
}

function newer(endpoint, secret) {
  return new V2.default(new Config({
    accessKeyId: cloud.access_key_id, accessKeySecret: secret, endpoint, regionId: region.id, protocol: 'https',
  }));
}

async function at(endpoint, key) {
  const a = old(endpoint, cloud.access_key_secret);
  const b = newer(endpoint, cloud.access_key_secret);
  const text = 'aGVsbG8=';

  const sealed = await a.encrypt(key.id, text, { app: 'node', tier: '1' });
  assert.strictEqual(sealed.KeyId, key.id, JSON.stringify(sealed));
  assert.strictEqual(sealed.KeyVersionId, key.version_id);
  const blob = Buffer.from(sealed.CiphertextBlob, 'base64');
  assert.strictEqual(blob.subarray(0, 36).toString(), key.version_id);
  assert.strictEqual(blob.length, 36 + 12 + text.length + 16);

  const opened = await b.decrypt(new V2.DecryptRequest({
    ciphertextBlob: sealed.CiphertextBlob, encryptionContext: { tier: '1', app: 'node' },
  }));
  assert.strictEqual(opened.plaintext, text);

  const dek = await b.generateDataKey(new V2.GenerateDataKeyRequest({ keyId: 'alias/app', numberOfBytes: 32 }));
  assert.strictEqual(Buffer.from(dek.plaintext, 'base64').length, 32);
  const again = await a.decrypt(dek.ciphertextBlob);
  assert.strictEqual(again.Plaintext, dek.plaintext);
}

async function refused(endpoint, key) {
  const wrong = cloud.access_key_secret + 'x';
  const answer = await old(endpoint, wrong).encrypt(key.id, 'eA==');
  assert.strictEqual(answer.Code, 'IncompleteSignature', JSON.stringify(answer));
  await assert.rejects(
    newer(endpoint, wrong).encrypt(new V2.EncryptRequest({ keyId: key.id, plaintext: 'eA==' })),
    (err) => /IncompleteSignature/.test(`${err.code} ${err.message}`),
  );
}

async function main() {
  const listed = await old(region.https, cloud.access_key_secret).listKeys(1, 10);
  assert.strictEqual(listed.TotalCount, region.keys.length, JSON.stringify(listed));
  for (const place of [{ endpoint: region.https, keys: region.keys }, { endpoint: instance.addr, keys: instance.keys }]) {
    const key = place.keys.find((k) => k.alias === 'alias/app');
    await at(place.endpoint, key);
    await refused(place.endpoint, key);
  }
  console.log('node clients: ok');
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
