import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { addAuthority } from '@paddock/cloud/adapters/data-dir/authority.ts';
import { authoritiesOf } from '@paddock/cloud/open-trust.ts';
import { newAuthorityCertificate } from '@paddock/cloud/trust/authority.ts';

const NONE_GIVEN = { caCert: null, caKey: null };

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'paddock-ca-'));
});
afterEach(() => rm(path, { recursive: true }));

const openAll = (given: { caCert: string[] | null; caKey: string[] | null } = NONE_GIVEN, directory = path) =>
  authoritiesOf(given, directory, systemClock);
const open = async (...which: Parameters<typeof openAll>) => {
  const [first] = await openAll(...which);
  return first ?? expect.unreachable();
};
const keyFile = (): string => join(path, 'ca.key.pem');
const certificateFile = (): string => join(path, 'ca.cert.pem');

test('the authority is made once, for everybody who comes first at the same time', async () => {
  const opened = await Promise.all(Array.from({ length: 6 }, () => open()));
  expect(new Set(opened.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  expect((await open()).fingerprint).toBe(opened[0]?.fingerprint);
  expect((await readdir(path)).toSorted()).toEqual(['ca.cert.pem', 'ca.key.pem']);
  expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
});

test('it is not made anew when its key is lost: devices believe the one there was', async () => {
  await open();
  await rm(keyFile());
  await expect(open()).rejects.toMatchObject({ code: 'ca_key_missing' });
  expect(await readdir(path)).toEqual(['ca.cert.pem']);
});

test('a key that others may read is refused', async () => {
  await open();
  await chmod(keyFile(), 0o644);
  await expect(open()).rejects.toMatchObject({ code: 'secret_readable' });
});

test('one that is given is used in place of it, and nothing is made', async () => {
  const { fingerprint } = await open();
  const elsewhere = join(path, 'elsewhere');
  const given = await open({ caCert: [certificateFile()], caKey: [keyFile()] }, elsewhere);
  expect(given.fingerprint).toBe(fingerprint);
  await expect(readdir(elsewhere)).rejects.toThrow('ENOENT');
});

test('a given key that does not fit its certificate is refused', async () => {
  await open();
  const other = await mkdtemp(join(tmpdir(), 'paddock-ca-'));
  await open(NONE_GIVEN, other);
  const mixed = { caCert: [certificateFile()], caKey: [join(other, 'ca.key.pem')] };
  await expect(open(mixed)).rejects.toMatchObject({ code: 'ca_mismatch' });
  await rm(other, { recursive: true });
});

test('others are put beside it, oldest first, and none is made when the first one is taken away', async () => {
  const { id } = await open();
  const certify = (key: string) => newAuthorityCertificate(key, systemClock.wall());
  const second = await addAuthority(path, certify);
  expect(second).toEqual({ key: join(path, 'ca-2.key.pem'), certificate: join(path, 'ca-2.cert.pem') });
  await addAuthority(path, certify);
  const all = await openAll();
  expect(all[0]?.id).toBe(id);
  expect(new Set(all.map((one) => one.id)).size).toBe(3);
  const given = await openAll({ caCert: [second.certificate, certificateFile()], caKey: [second.key, keyFile()] });
  expect(given.map((one) => one.id)).toEqual([all[1]?.id, id]);
  for (const file of [keyFile(), certificateFile()]) await rm(file);
  expect((await openAll()).map((one) => one.id)).toEqual(all.slice(1).map((one) => one.id));
});
