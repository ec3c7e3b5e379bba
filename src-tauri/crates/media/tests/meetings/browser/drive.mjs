// Drives Chromium: one line of JSON in (`{"call": NAME, "with": ARGUMENT}`), one line out. Ends with its input.
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import path from 'node:path';

const [page, modules, chromiumPath] = process.argv.slice(2);
const { chromium } = createRequire(path.join(modules, 'x.js'))('playwright-core');
const dist = path.join(modules, 'node_modules/livekit-client/dist');
const files = {
  '/': [page, 'text/html'],
  '/livekit-client.umd.js': [path.join(dist, 'livekit-client.umd.js'), 'text/javascript'],
  '/livekit-client.e2ee.worker.js': [path.join(dist, 'livekit-client.e2ee.worker.js'), 'text/javascript'],
};
const server = createServer((request, answer) => {
  const file = files[request.url];
  if (!file) return answer.writeHead(404).end();
  answer.writeHead(200, { 'content-type': file[1] });
  createReadStream(file[0]).pipe(answer);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--autoplay-policy=no-user-gesture-required',
    '--allow-loopback-in-peer-connection',
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream=fps=30',
  ],
});
const tab = await browser.newPage();
await tab.goto(`http://127.0.0.1:${server.address().port}/`);
process.stdout.write('{"ok":"ready"}\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { call, with: argument } = JSON.parse(line);
  const answer = await tab
    .evaluate(([call, argument]) => globalThis[call](argument), [call, argument])
    .then((ok) => ({ ok: ok ?? null }), (error) => ({ error: String(error) }));
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
server.close();
