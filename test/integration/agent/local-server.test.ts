import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalServer } from '@paddock/agent/adapters/local-server.ts';
import type { LocalListener, LocalReply, LocalRequest, LocalServed, LocalServer } from '@paddock/agent/ports-local.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../harness/agent/fake-clock.ts';
import { ask, RawClient } from '../../harness/agent/local-client.ts';

let home: string;
let socket: string;
const closers: (() => unknown)[] = [];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'paddock-local-'));
  socket = join(home, 'run/agent.sock');
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  rmSync(home, { recursive: true, force: true });
});

/** Answers with what it was asked. */
class Echo implements LocalServed {
  readonly asked: LocalRequest[] = [];
  readonly ended: number[] = [];
  refusal: LocalReply | null = null;
  answer = async (request: LocalRequest): Promise<LocalReply> => {
    this.asked.push(request);
    const { method, path, query, body } = request;
    return { status: 200, body: { method, path, query: Object.fromEntries(query), body } };
  };
  admit = (): LocalReply | null => this.refusal;
  closed = (connection: number): void => void this.ended.push(connection);
}

async function open(served: LocalServed = new Echo(), place: object = {}): Promise<LocalServer> {
  const server = createLocalServer({ socket, mode: '0660', ...place });
  await server.open(served);
  closers.push(() => server.close());
  return server;
}

const raw = (): RawClient => {
  const client = new RawClient(socket);
  closers.push(() => client.socket.destroy());
  return client;
};
const GET = 'GET /v1/state HTTP/1.1\r\nhost: kiosk\r\n';
const tooOften: LocalReply = { status: 429, body: { code: 'too_many_requests' }, retryAfterSeconds: 1 };

describe('the socket', () => {
  it('has the mode and the group that it shall have, and so has the directory that is made for it', async () => {
    await open(new Echo(), { group: '4242', mode: '0660' });
    const [file, directory] = [statSync(socket), statSync(join(home, 'run'))];
    expect([file.mode & 0o777, file.gid]).toEqual([0o660, 4242]);
    expect([directory.mode & 0o777, directory.gid]).toEqual([0o750, 4242]);
  });

  it.each([
    ['0600', 0o700],
    ['0660', 0o750],
    ['0666', 0o755],
  ])('of mode %s lets those through every directory that is made for it whom it lets in', async (mode, expected) => {
    socket = join(home, 'a/b/agent.sock');
    await open(new Echo(), { group: '4242', mode });
    const made = ['a', 'a/b'].map((directory) => statSync(join(home, directory)));
    expect(made.map((one) => [one.mode & 0o777, one.gid])).toEqual([
      [expected, 4242],
      [expected, 4242],
    ]);
  });

  it('leaves a directory that is there as it is, and takes itself away at the end', async () => {
    chmodSync(home, 0o711);
    socket = join(home, 'agent.sock');
    const server = await open(new Echo(), { group: '4242', mode: '0600' });
    expect([statSync(home).mode & 0o777, statSync(socket).mode & 0o777]).toEqual([0o711, 0o600]);
    await server.close();
    expect(() => statSync(socket)).toThrow('ENOENT');
  });

  it('takes the place of one that a killed agent left, and not of one that is live', async () => {
    const path = JSON.stringify(socket);
    const listen = `require('fs').mkdirSync(${JSON.stringify(join(home, 'run'))});require('net').createServer().listen(${path}, () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] });
    closers.push(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    await expect(open()).rejects.toMatchObject({ code: 'local_in_use' });
    // Stopped, it answers nothing and is there all the same.
    child.kill('SIGSTOP');
    await expect(open()).rejects.toMatchObject({ code: 'local_in_use' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await open();
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
  });

  it('is not opened at the place of something else, nor at a path that none fits in, nor for a group that nobody knows', async () => {
    await open();
    const other = join(home, 'run/other');
    writeFileSync(other, 'precious');
    symlinkSync(other, join(home, 'run/link'));
    await expect(open(new Echo(), { socket: other })).rejects.toMatchObject({ code: 'local_path_taken' });
    await expect(open(new Echo(), { socket: join(home, 'run/link') })).rejects.toMatchObject({
      code: 'local_path_taken',
    });
    await expect(open(new Echo(), { socket: join(home, 'x'.repeat(100)) })).rejects.toMatchObject({
      code: 'local_path_long',
    });
    const stranger = { socket: join(home, 'run/a'), group: 'no-such-group' };
    await expect(open(new Echo(), stranger)).rejects.toMatchObject({ code: 'local_group_unknown' });
    const between = `${join(home, 'run/b')}.new`;
    writeFileSync(between, 'precious');
    await expect(open(new Echo(), { socket: join(home, 'run/b') })).rejects.toMatchObject({ code: 'local_path_taken' });
    expect([statSync(other).size, statSync(between).size]).toEqual([8, 8]);
    expect(readdirSync(join(home, 'run')).toSorted()).toEqual(['agent.sock', 'b.new', 'link', 'other']);
  });

  it('is opened at the next try when its place was made free', async () => {
    socket = join(home, 'agent.sock');
    writeFileSync(socket, 'precious');
    const server = createLocalServer({ socket, mode: '0660' });
    closers.push(() => server.close());
    await expect(server.open(new Echo())).rejects.toMatchObject({ code: 'local_path_taken' });
    rmSync(socket);
    await server.open(new Echo());
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
    const slow = raw();
    slow.say(GET);
    await slow.closed;
    expect(slow.last).toBe('408 request_too_slow');
  });

  it('of another program that took its place is left alone at the end', async () => {
    const server = await open();
    rmSync(socket);
    const other = createServer().listen(socket);
    await once(other, 'listening');
    closers.push(() => other.close());
    await server.close();
    expect(statSync(socket).isSocket()).toBe(true);
  });
});

describe('what anybody may send', () => {
  it('is handed on when it is a request', async () => {
    await open();
    const { status, body, headers } = await ask(socket, 'PUT', '/v1/events/a?wait=3&wait=4', { name: 'x' });
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, 'application/json', 'no-store']);
    expect(body).toEqual({ method: 'PUT', path: '/v1/events/a', query: { wait: '4' }, body: '{"name":"x"}' });
  });

  it.each([
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', '400 request_malformed'],
    ['two lengths', `${GET}content-length: 1\r\ncontent-length: 2\r\n\r\n`, '400 request_malformed'],
    ['headers without end', `${GET}x: ${'y'.repeat(9_000)}`, '431 headers_too_large'],
    [
      'a body that is announced too large',
      `${GET}content-length: 99999\r\n\r\n${'x'.repeat(17_000)}`,
      '413 body_too_large',
    ],
    [
      'a body that becomes too large',
      `${GET}transfer-encoding: chunked\r\n\r\n${'fff\r\n'.concat('x'.repeat(4095), '\r\n').repeat(5)}`,
      '413 body_too_large',
    ],
  ])('is told what is wrong with it, and closed: %s', async (_what, text, told) => {
    const served = new Echo();
    await open(served);
    const client = raw();
    client.say(text);
    await client.closed;
    expect([client.last, served.asked.length]).toEqual([told, 0]);
  });

  it('has to come in time: the first byte, the headers, and the body', async () => {
    const served = new Echo();
    await open(served);
    const [mute, slow, slower] = [raw(), raw(), raw()];
    slow.say(GET);
    slower.say(`${GET}content-length: 10\r\n\r\n`);
    const drip = setInterval(() => slow.say('x: y\r\n'), 500);
    closers.push(() => clearInterval(drip));
    await Promise.all([mute.closed, slow.closed, slower.closed]);
    expect([slow.last, slower.last, served.asked.length]).toEqual(['408 request_too_slow', '408 request_too_slow', 0]);
  });

  it('is not acted on when it breaks off in the middle', async () => {
    const served = new Echo();
    await open(served);
    const client = raw();
    client.say('DELETE /v1/lock/a HTTP/1.1\r\nhost: kiosk\r\ncontent-length: 10\r\n\r\nabc');
    await until(() => client.socket.bytesWritten > 0, 'it is sent');
    client.socket.end();
    await client.closed;
    expect(served.asked).toEqual([]);
  });

  it('is refused when it is too much, and closed when it goes on and on', async () => {
    const served = new Echo();
    served.refusal = tooOften;
    await open(served);
    const client = raw();
    for (let n = 0; n < 200; n += 1) client.say(`${GET}\r\n`);
    const answers = (await client.closed).split('HTTP/1.1 429').length - 1;
    expect(answers).toBe(100);
    expect(client.text).toContain('retry-after: 1');
    served.refusal = null;
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
  });

  it('is refused on more connections than there may be, and those that were there go on', async () => {
    await open();
    const first = raw();
    first.say(`${GET}\r\n`);
    await until(() => first.last.startsWith('200'), 'the first is answered');
    const crowd = Array.from({ length: 31 }, raw);
    await Promise.all(crowd.map(({ socket: one }) => once(one, 'connect')));
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({
      status: 503,
      body: { code: 'too_many_connections' },
    });
    first.say(`${GET}\r\n`);
    await until(() => first.text.split('HTTP/1.1 200').length === 3, 'the first is answered again');
    for (const { socket: one } of crowd) one.destroy();
    await Promise.all(crowd.map(({ closed }) => closed));
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
  });
});

describe('requests of one connection', () => {
  /** The first waits until somebody answers it. */
  class Slow extends Echo {
    readonly first = Promise.withResolvers<void>();
    override answer = async (request: LocalRequest): Promise<LocalReply> => {
      this.asked.push(request);
      if (this.asked.length === 1) await Promise.race([this.first.promise, once(request.gone, 'abort')]);
      return { status: 200, body: { path: request.path } };
    };
  }
  const paths = ({ asked }: Echo): string[] => asked.map(({ method, path }) => `${method} ${path}`);

  it('are acted on one after the other, as they came', async () => {
    const served = new Slow();
    await open(served);
    const client = raw();
    client.say('PUT /v1/lock/a HTTP/1.1\r\nhost: kiosk\r\ncontent-length: 2\r\n\r\n');
    client.say('{}DELETE /v1/lock/a HTTP/1.1\r\nhost: kiosk\r\n\r\n');
    await until(() => served.asked.length > 0, 'the first is there');
    // Another connection does not wait for it.
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
    expect(paths(served)).toEqual(['PUT /v1/lock/a', 'GET /v1/state']);
    served.first.resolve();
    await until(() => client.text.split('HTTP/1.1 200').length === 3, 'both are answered');
    expect(paths(served).at(-1)).toBe('DELETE /v1/lock/a');
  });

  it('are so many, and who sends more behind one that waits is closed at last', { timeout: 20_000 }, async () => {
    const served = new Slow();
    await open(served);
    const client = raw();
    for (let n = 0; n < 200; n += 1) client.say(`${GET}\r\n`);
    await client.closed;
    await until(() => served.asked.length === 20, 'those that were taken have had their turn');
    expect(await ask(socket, 'GET', '/v1/state')).toMatchObject({ status: 200 });
    expect(served.asked).toHaveLength(21);
  });
});

describe('a stream', () => {
  const listeners: LocalListener[] = [];
  const streaming = (): LocalServed => {
    const echo = new Echo();
    echo.answer = async () => ({ listen: (listener) => void listeners.push(listener) });
    return echo;
  };

  it('says whether it was read, and nothing of it is in memory once it was', async () => {
    await open(streaming());
    const client = raw();
    client.say(`${GET}\r\n`);
    await until(() => listeners.length === 1, 'somebody listens');
    const [listener] = listeners;
    client.socket.pause();
    // What fits into the kernel is gone from here; what does not waits here.
    while (listener?.isReady() === true) {
      listener.say(`data: ${'x'.repeat(65_536)}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.socket.resume();
    await until(() => listener?.isReady() === true, 'it was read');
    listener?.end('event: end\ndata: {"code":"stopping"}\n\n');
    expect((await client.closed).endsWith('0\r\n\r\n')).toBe(true);
    expect(client.last).toBe('200 stopping');
    expect(listener?.gone.aborted).toBe(true);
  });

  it('is closed although nobody reads its end', async () => {
    const server = await open(streaming());
    const client = raw();
    client.say(`${GET}\r\n`);
    await until(() => listeners.length === 2, 'somebody listens');
    client.socket.pause();
    const listener = listeners[1];
    for (let n = 0; n < 20; n += 1) listener?.say(`data: ${'x'.repeat(65_536)}\n\n`);
    listener?.end('event: end\ndata: {}\n\n');
    await until(() => listener?.gone.aborted === true, 'it is closed');
    await server.close();
    await expect(ask(socket, 'GET', '/v1/state')).rejects.toThrow('ENOENT');
  });
});
