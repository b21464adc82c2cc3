// An application in another language, with nothing but Node itself: it asks a KMS at a socket or at host:port, with the signature that every
// Alibaba Cloud SDK of the RPC style makes. It reads a call from each line of its input, {"action": …, "parameters": {…}}, and
// writes a line for each: {"status": …, "side": …, "answer": {…}}.
import { createHmac, randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { createInterface } from 'node:readline';

const { KMS_SOCKET, KMS_HOST, KMS_PORT, KMS_ID, KMS_SECRET } = process.env;

const percent = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

function form(action, parameters) {
  const all = {
    ...parameters, Action: action, Version: '2016-01-20', Format: 'JSON', AccessKeyId: KMS_ID, SignatureMethod: 'HMAC-SHA1', SignatureVersion: '1.0',
    SignatureNonce: randomUUID(), Timestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
  };
  const sorted = Object.keys(all).sort().map((name) => `${percent(name)}=${percent(all[name])}`).join('&');
  const signature = createHmac('sha1', KMS_SECRET + '&').update(`POST&%2F&${percent(sorted)}`).digest('base64');
  return `${sorted}&Signature=${percent(signature)}`;
}

function call(action, parameters) {
  const at = KMS_SOCKET ? { socketPath: KMS_SOCKET } : { host: KMS_HOST, port: KMS_PORT };
  return new Promise((resolve, reject) => {
    const asked = request({ ...at, method: 'POST', path: '/', headers: { 'content-type': 'application/x-www-form-urlencoded', host: 'kms' } }, (got) => {
      let body = '';
      got.setEncoding('utf8');
      got.on('data', (part) => { body += part; });
      got.on('end', () => resolve({ status: got.statusCode, side: got.headers['x-keyhaul-side'] ?? '', answer: JSON.parse(body) }));
    });
    asked.on('error', reject);
    asked.end(form(action, parameters));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { action, parameters } = JSON.parse(line);
  console.log(JSON.stringify(await call(action, parameters)));
}
