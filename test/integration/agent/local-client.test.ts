import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PaddockLocal, type State } from '../../../agent/client/paddock-local.mjs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { until } from '../../harness/agent/fake-clock.ts';

const CLIENT = join(import.meta.dirname, '../../../agent/client/paddock-local.mjs');
const EVERYTHING = 'retry: 1000\nevent: state\ndata: {"lock":null}\n\n';

let home: string;
let socket: string;
let server: Server;
let paddock: PaddockLocal;
/** What is answered, by the path. */
let answers: Record<string, { status: number; text: string; isOpen?: boolean }>;
let asked: string[];
let connections: number;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'paddock-client-'));
  socket = join(home, 'agent.sock');
  paddock = new PaddockLocal(socket);
  [answers, asked, connections] = [{}, [], 0];
  server = createServer(({ url = '' }, response) => {
    asked.push(url);
    const { status, text, isOpen } = answers[url] ?? { status: 404, text: '{"code":"not_found","title":"Nothing"}' };
    response.writeHead(status).write(text);
    if (isOpen !== true) response.end();
  });
  server.on('connection', (one) => {
    connections += 1;
    one.on('close', () => (connections -= 1));
  });
  await once(server.listen(socket), 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

const follow = (): { seen: (State | null)[]; stop: () => void } => {
  const seen: (State | null)[] = [];
  return { seen, stop: paddock.follow((state) => void seen.push(state)) };
};

it('says once that there is no agent to follow, asks ever more rarely, and holds no connection', async () => {
  answers['/v1/changes'] = { status: 503, text: '{"code":"too_many_listeners"}' };
  const { seen, stop } = follow();
  const from = performance.now();
  await until(() => asked.length === 4, 'it asks again and again');
  // A quarter, a half and a whole second later, at least.
  expect(performance.now() - from).toBeGreaterThan(1_500);
  expect(seen).toEqual([null]);
  await until(() => connections === 0, 'nothing is held');
  answers['/v1/changes'] = { status: 200, text: EVERYTHING, isOpen: true };
  await until(() => seen.length === 2, 'the state comes');
  server.closeAllConnections();
  await until(() => seen.length === 4, 'it is gone and back');
  stop();
  expect(seen).toEqual([null, { lock: null }, null, { lock: null }]);
});

it('hands on what the listener throws, and follows on where the application goes on', async () => {
  answers['/v1/changes'] = { status: 200, text: EVERYTHING.repeat(2), isOpen: true };
  const script = `
    import { PaddockLocal } from ${JSON.stringify(CLIENT)};
    process.on('uncaughtException', (error, origin) => console.log(origin, error.message));
    const stop = new PaddockLocal(${JSON.stringify(socket)}).follow((state, part) => {
      console.log(part, state);
      if (seen++ > 0) stop();
      throw new Error('of the screen');
    });
    let seen = 0;`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (out += text));
  expect(await once(child, 'close')).toEqual([0, null]);
  const line = 'state { lock: null }\n';
  const thrown = 'uncaughtException of the screen\n';
  expect(out.replaceAll(line, 'S').replaceAll(thrown, 'T').split('').toSorted()).toEqual(['S', 'S', 'T', 'T']);
});

it('asks again for as long as it shall, whatever the clock of the wall does', async () => {
  const path = '/v1/events/swipe-0001?wait=0';
  answers[path] = { status: 429, text: '{"code":"too_many_events"}' };
  const jumps = vi.spyOn(Date, 'now').mockImplementation(() => asked.length * 86_400_000);
  const told = paddock.event('card-swipe', {}, { id: 'swipe-0001', waitSeconds: 0, tryForSeconds: 20 });
  await until(() => asked.length > 2, 'it asks again');
  answers[path] = { status: 200, text: '{"id":"swipe-0001","state":"recorded"}' };
  expect(await told).toMatchObject({ state: 'recorded' });
  jumps.mockRestore();
});

it('has an error with a code for whatever goes wrong', async () => {
  answers['/v1/state'] = { status: 200, text: 'SSH-2.0' };
  await expect(paddock.state()).rejects.toMatchObject({ name: 'PaddockError', code: 'unreachable' });
  await expect(paddock.outcome('a/b?c')).rejects.toMatchObject({ name: 'PaddockError', code: 'not_found' });
  expect(asked.at(-1)).toBe('/v1/events/a%2Fb%3Fc?wait=10');
  const nobody = new PaddockLocal(join(home, 'nobody.sock'));
  await expect(nobody.releaseLock('a')).rejects.toMatchObject({ name: 'PaddockError', code: 'unreachable' });
  // Without a path Node would ask a port of the machine.
  expect(() => new PaddockLocal('')).toThrow(TypeError);
});
