import { delegationsFor, isMatch } from '@paddock/agent/tuf/delegations.ts';
import { Targets } from '@tufjs/models';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeThrown, TufDevice } from '../../../harness/tuf/client.ts';
import { makeKey } from '../../../harness/tuf/keys.ts';
import { delegate, sha256, targetOf, utf8, type Delegated } from '../../../harness/tuf/simulator.ts';

describe('a pattern of paths', () => {
  it.each([
    ['targets/*.tgz', 'targets/foo.tgz', true],
    ['targets/*.tgz', 'targets/foo.txt', false],
    ['foo-version-?.tgz', 'foo-version-2.tgz', true],
    ['foo-version-?.tgz', 'foo-version-alpha.tgz', false],
    ['*.tgz', 'foo.tgz', true],
    ['*.tgz', 'targets/foo.tgz', false],
    ['foo.tgz', 'foo.tgz', true],
    ['*', '', true],
    ['*', 'a/b', false],
    ['**', 'a/b', false],
    ['*a*b', 'xaxbxb', true],
    ['*a*b', 'xaxbxc', false],
    ['a*', 'a', true],
    ['?', '', false],
    ['', '', true],
    ['', 'a', false],
    ['*/*', '.hidden/.file', true],
    // What others read into a pattern is not there.
    ['{a,b}', 'a', false],
    ['!a', 'b', false],
    ['[ab]', 'a', false],
    ['[ab]', '[ab]', true],
    ['+(a)', 'aa', false],
    ['#a', '#a', true],
    ['\\*', '*', false],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(isMatch(pattern, path)).toBe(expected);
  });

  it('takes no time without end', () => {
    expect(isMatch(`${'*a'.repeat(200)}b`, 'a'.repeat(5_000))).toBe(false);
  });

  it('is what a regular expression of the same meaning says', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '/'), maxLength: 10 });
    fc.assert(
      fc.property(letters, letters, (pattern, path) => {
        const meaning = pattern.replaceAll('*', '[^/]*').replaceAll('?', '[^/]');
        expect(isMatch(pattern, path)).toBe(new RegExp(`^${meaning}$`).test(path));
      }),
      { numRuns: 2_000 },
    );
  });
});

it('bins of TAP 15 are those of the library', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 32 }), (path, bits) => {
      const role = { keyids: ['a'], threshold: 1, bit_length: bits, name_prefix: 'bin' };
      const [found] = delegationsFor({ keys: {}, succinct_roles: role }, path);
      const common = { spec_version: '1.0.31', expires: '2026-01-01T00:00:00Z', version: 1 };
      const model = Targets.fromJSON({ ...common, targets: {}, delegations: { keys: {}, succinct_roles: role } });
      const [theirs] = [...(model.delegations?.rolesForTarget(path) ?? [])];
      expect({ role: found?.name, terminating: found?.terminating }).toEqual(theirs);
    }),
  );
});

describe('a search', () => {
  const path = 'partner/app';
  const content = utf8('content');
  const holding = { [path]: targetOf(content) };

  async function search(roles: Delegated[]) {
    const device = new TufDevice();
    device.repository.delegated.push(...roles);
    device.repository.putTarget(path, content);
    device.repository.publish();
    await device.refresh();
    device.repository.requests.length = 0;
    const found = await codeThrown(device.target(path));
    const asked = device.repository.requests.flatMap((one) => /\d+\.(.*)\.json$/.exec(one)?.[1] ?? []);
    return { found, asked, device };
  }

  it('goes through roles in pre-order, and takes the first that speaks', async () => {
    const inner = delegate('inner');
    const roles = [
      delegate('a', { roles: [inner] }),
      delegate('b', { targets: holding }),
      delegate('c', { targets: holding }),
    ];
    expect(await search(roles)).toMatchObject({ found: null, asked: ['a', 'inner', 'b'] });
  });

  it('asks nobody who may not speak of the path, by pattern or by hash', async () => {
    const hash = sha256(utf8(path));
    const roles = [
      delegate('other', { paths: ['other/*'], targets: holding }),
      delegate('nobody', { path_hash_prefixes: [hash.startsWith('0') ? '1' : '0'] }),
      delegate('hashed', { path_hash_prefixes: [hash.slice(0, 3)], targets: holding }),
    ];
    expect(await search(roles)).toMatchObject({ found: null, asked: ['hashed'] });
  });

  it('gives a role no more than who delegates to it has', async () => {
    const roles = [delegate('a', { paths: ['other/*'], roles: [delegate('deep', { targets: holding })] })];
    expect(await search(roles)).toMatchObject({ found: 'tuf_target_unknown', asked: [] });
  });

  it('ends behind a terminating role and those below it', async () => {
    const ending = delegate('ending', { terminating: true, roles: [delegate('below')] });
    const roles = [ending, delegate('after', { targets: holding })];
    expect(await search(roles)).toMatchObject({ found: 'tuf_target_unknown', asked: ['ending', 'below'] });
  });

  it('ends in a cycle', async () => {
    const [a, b] = [delegate('a'), delegate('b')];
    a.roles.push(b);
    b.roles.push(a);
    expect(await search([a])).toMatchObject({ found: 'tuf_target_unknown', asked: ['a', 'b'] });
  });

  it('visits 32 roles at most', async () => {
    const roles = Array.from({ length: 40 }, (_, n) => delegate(`r${n}`));
    const { found, asked } = await search(roles);
    expect(found).toBe('tuf_target_unknown');
    expect(asked).toHaveLength(31);
  });

  it('ends at metadata that are not signed as they should be, or not there', async () => {
    const role = delegate('a');
    const roles = [role, delegate('b', { targets: holding })];
    const { device } = await search(roles);
    device.repository.lies.set('metadata/1.a.json', null);
    expect(await codeThrown(device.target(path))).toBe('tuf_missing');
    device.repository.lies.clear();
    const { keys } = role;
    role.keys = [makeKey()];
    device.repository.hashes = false;
    device.repository.publishTargets();
    const forged = device.repository.file('metadata/1.a.json');
    role.keys = keys;
    device.repository.publish();
    await device.refresh();
    device.repository.lies.set('metadata/1.a.json', forged);
    expect(await codeThrown(device.target(path))).toBe('tuf_signature');
  });

  it('asks for files of roles by names that stay in their directory', async () => {
    const { asked } = await search([delegate('../../etc/passwd'), delegate('a b?c', { targets: holding })]);
    expect(asked).toEqual(['..%2F..%2Fetc%2Fpasswd', 'a%20b%3Fc']);
  });
});
