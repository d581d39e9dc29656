import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let server: EnrolServer;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
  http = await startHttp(database.store);
});
afterAll(async () => {
  await server.close();
  await http.close();
  await database.drop();
});

type Event = Readonly<Record<string, unknown>>;

const thumbprintOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

async function importing(
  body: string | Uint8Array<ArrayBuffer>,
  type = 'text/csv',
  token = http.operator,
): Promise<Event[]> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': type };
  const answer = await fetch(`${http.url}/api/v1/factory-list/import`, { method: 'POST', headers, body });
  const lines = (await answer.text()).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Event);
}
const badIn = (events: readonly Event[]) =>
  events.filter(({ kind }) => kind === 'bad').map(({ line, code }) => [line, code]);

describe('a factory list', () => {
  test('is imported once, by CSV or JSON, and the same again changes nothing', async () => {
    const [one, two] = [await makeTestKey(), await makeTestKey('Ed25519')];
    const csv = `serialNumber,fingerprint\nFL-1,${one.verification.thumbprint}\n`;
    expect((await importing(csv)).at(-1)).toEqual({ kind: 'done', records: 1, added: 1, unchanged: 0, bad: 0 });
    expect((await importing(csv)).at(-1)).toEqual({ kind: 'done', records: 1, added: 0, unchanged: 1, bad: 0 });
    const json = JSON.stringify([{ serialNumber: 'FL-2', publicKey: two.publicJwk, name: 'Number two' }]);
    expect((await importing(json, 'application/json')).at(-1)).toMatchObject({ kind: 'done', added: 1 });
    const enrolled = await server.enrol(two, { serialNumber: 'FL-2' });
    expect(enrolled.status).toBe('accepted');
    const listed = await http.call('GET', '/api/v1/factory-list?serialNumber=FL-2');
    expect(listed.items).toMatchObject([{ deviceId: enrolled.device, name: 'Number two' }]);
  });

  test('lets nobody in with another serial number than its key is listed for', async () => {
    const key = await makeTestKey();
    await importing(`serialNumber,fingerprint\nFL-3,${key.verification.thumbprint}\n`);
    expect((await server.enrol(key, { serialNumber: 'FL-other' })).status).toBe('pending');
    expect((await server.enrol(await makeTestKey(), { serialNumber: 'FL-3' })).status).toBe('pending');
    expect((await server.enrol(key, { serialNumber: 'FL-3' })).status).toBe('accepted');
  });

  test('has every bad line told, with its number and code, and takes the good ones', async () => {
    const key = await makeTestKey();
    const other = thumbprintOf('another key');
    const rows = [
      'serialNumber,fingerprint,publicKey,model,site,name',
      `FL-10,${thumbprintOf('10')},,,,`,
      `FL-10,${thumbprintOf('11')},,,,`,
      `FL-11,${thumbprintOf('10')},,,,`,
      `FL-1,${other},,,,`,
      'FL-12,,,,,',
      'FL-13,short,,,,',
      `FL-14,${other},"${JSON.stringify(key.publicJwk).replaceAll('"', '""')}",,,`,
      `FL-15,,"${JSON.stringify(key.privateJwk).replaceAll('"', '""')}",,,`,
      `FL-16,${thumbprintOf('16')},,no-model,,`,
      `FL-17,${thumbprintOf('17')},,,no-site,`,
      `#,${thumbprintOf('18')},,,,`,
      `FL-19,${thumbprintOf('19')},,,,Last`,
    ];
    const events = await importing(`\u{feff}${rows.join('\r\n')}`);
    expect(badIn(events)).toEqual([
      [3, 'serial_number_twice'],
      [4, 'key_twice'],
      [5, 'serial_number_listed'],
      [6, 'key_missing'],
      [7, 'fingerprint_invalid'],
      [8, 'fingerprint_mismatch'],
      [9, 'key_private'],
      [10, 'model_unknown'],
      [11, 'site_unknown'],
      [12, 'serial_number_invalid'],
    ]);
    expect(events.at(-1)).toEqual({ kind: 'done', records: 12, added: 2, unchanged: 0, bad: 10 });
  });

  test('that is not text, or has other columns, is refused as a whole', async () => {
    expect((await importing(new Uint8Array([0xff, 0xfe, 0x41]))).at(-1)).toMatchObject({
      kind: 'failed',
      code: 'text_not_utf8',
    });
    expect((await importing('serial,key\nA1,b\n')).at(-1)).toMatchObject({ kind: 'failed', code: 'header_invalid' });
    expect((await importing('{}', 'text/plain')).at(-1)).toMatchObject({ code: 'media_type_unsupported' });
  });

  test('is its customer’s: another neither sees nor removes it', async () => {
    const [mine, theirs] = [await http.tokenOf('maker'), await http.tokenOf('taker')];
    await importing(`serialNumber,fingerprint\nFL-20,${thumbprintOf('20')}\n`, 'text/csv', mine);
    const path = `/api/v1/factory-list/${thumbprintOf('20')}`;
    expect((await http.call('GET', '/api/v1/factory-list', { token: theirs })).items).toEqual([]);
    expect((await http.call('DELETE', path, { token: theirs })).body['code']).toBe('entry_unknown');
    expect((await http.call('DELETE', path, { token: mine })).body['serialNumber']).toBe('FL-20');
  });

  test('whose line 90,000 is not text changes nothing, like one that is too long or breaks off', async () => {
    const lines = (from: number, to: number): Buffer =>
      Buffer.from(
        Array.from({ length: to - from }, (_, n) => `HALF-${from + n},${thumbprintOf(`half ${from + n}`)}\n`).join(''),
      );
    const head = Buffer.from('serialNumber,fingerprint\n');
    const spoilt = [head, lines(0, 89_998), Buffer.from([0x48, 0xff, 0x0a]), lines(90_000, 100_000)];
    const events = await importing(Uint8Array.from(Buffer.concat(spoilt)));
    expect(events.at(-1)).toMatchObject({ kind: 'failed', code: 'text_not_utf8' });
    expect(events.every(({ kind }) => kind === 'reading' || kind === 'failed')).toBe(true);
    const slow = upload();
    slow.send(Buffer.concat([head, lines(0, 2_000)]));
    expect(await slow.next()).toMatchObject({ kind: 'reading' });
    slow.breakOff();
    await slow.closed;
    const unfinished = await importing(
      `[${JSON.stringify({ serialNumber: 'HALF-1', fingerprint: thumbprintOf('half') })}, {`,
      'application/json',
    );
    expect(unfinished.at(-1)).toMatchObject({ kind: 'failed', code: 'json_unfinished' });
    const tooLong = await importing(new Uint8Array(68_000_000).fill(0x20), 'application/json');
    expect(tooLong.at(-1)).toMatchObject({ kind: 'failed', code: 'file_too_long' });
    const [written] = await database.store.query(
      `SELECT count(*) AS count FROM factory_list WHERE serial_number LIKE 'HALF%'`,
    );
    expect(written).toEqual({ count: 0 });
  }, 120_000);

  test('that comes slowly shows how far it is before its end, and is written after it', async () => {
    const slow = upload();
    const lines = (from: number): string =>
      Array.from({ length: 500 }, (_, n) => `SLOW-${from + n},${thumbprintOf(`slow ${from + n}`)}\n`).join('');
    slow.send(Buffer.from(`serialNumber,fingerprint\n${lines(0)}`));
    expect(await slow.next()).toEqual({ kind: 'reading', records: 500 });
    slow.send(Buffer.from(lines(500)));
    expect(await slow.next()).toEqual({ kind: 'reading', records: 1_000 });
    expect((await http.call('GET', '/api/v1/factory-list?serialNumber=SLOW-1')).items).toEqual([]);
    slow.end();
    expect(await slow.next()).toMatchObject({ kind: 'progress', records: 500, added: 500 });
    await slow.closed;
    expect((await http.call('GET', '/api/v1/factory-list?serialNumber=SLOW-999')).items).toHaveLength(1);
  });

  test('waits its turn when two others are on their way', async () => {
    const others = [upload(), upload()];
    for (const other of others) {
      other.send(Buffer.from(`serialNumber,fingerprint\n${'x,y\n'.repeat(500)}`));
      expect(await other.next()).toMatchObject({ kind: 'reading' });
    }
    expect((await importing('serialNumber,fingerprint\n')).at(-1)).toMatchObject({
      status: 429,
      code: 'imports_too_many',
    });
    for (const other of others) {
      other.breakOff();
      await other.closed;
    }
    await expect
      .poll(async () => (await importing('serialNumber,fingerprint\n')).at(-1), { timeout: 30_000 })
      .toMatchObject({ kind: 'done', records: 0 });
  });

  test('of 100,000 lines is read with progress, every tenth line bad', async () => {
    const lines = Array.from({ length: 100_000 }, (_, n) =>
      n % 10 === 0 ? `BIG-${n},none` : `BIG-${n},${thumbprintOf(`big ${n}`)}`,
    );
    const events = await importing(`serialNumber,fingerprint\n${lines.join('\n')}\n`);
    expect(events.at(-1)).toEqual({ kind: 'done', records: 100_000, added: 90_000, unchanged: 0, bad: 10_000 });
    expect(events.filter(({ kind }) => kind === 'progress')).toHaveLength(200);
  }, 120_000);
});

/** A list that is sent piece by piece, while what the service tells is read. */
function upload() {
  const headers = { authorization: `Bearer ${http.operator}`, 'content-type': 'text/csv' };
  const asking = request(`${http.url}/api/v1/factory-list/import`, { method: 'POST', headers, agent: false });
  asking.on('error', () => undefined);
  const lines = new Promise<AsyncIterator<string>>((resolve) =>
    asking.once('response', (answer) => resolve(createInterface({ input: answer })[Symbol.asyncIterator]())),
  );
  return {
    send: (chunk: Uint8Array): void => void asking.write(chunk),
    next: async (): Promise<unknown> => JSON.parse(String((await (await lines).next()).value)),
    end: (): void => void asking.end(),
    breakOff: (): void => void asking.destroy(),
    closed: new Promise((closed) => asking.once('close', closed)),
  };
}
