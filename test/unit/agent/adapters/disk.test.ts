import { mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explainDataDir, lockDataDir } from '@paddock/agent/adapters/data-dir-lock.ts';
import { nodeFileCalls, type FileCalls } from '@paddock/agent/adapters/disk-calls.ts';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const newDir = (): string => join(mkdtempSync(join(tmpdir(), 'paddock-disk-')), 'data');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const read = async (disk: Disk, name: string): Promise<string | null> => {
  const found = await disk.read(name);
  return found === null ? null : new TextDecoder().decode(found);
};

describe.each([
  ['in memory', async (): Promise<Disk> => new MemoryDisk()],
  ['of the machine', async (): Promise<Disk> => openDisk(newDir())],
])('the disk %s', (_name, open) => {
  it('has nothing at first', async () => {
    expect(await read(await open(), 'a')).toBeNull();
  });

  it('replaces a file whole', async () => {
    const disk = await open();
    await disk.replace('a', bytes('a long first content'));
    await disk.replace('a', bytes('short'));
    expect(await read(disk, 'a')).toBe('short');
  });

  it('appends, to a new file too', async () => {
    const disk = await open();
    await disk.append('a', bytes('one'));
    await disk.append('a', bytes(' two'));
    expect(await read(disk, 'a')).toBe('one two');
  });

  it('appends to what was replaced, and begins anew after a removal', async () => {
    const disk = await open();
    await disk.replace('a', bytes('one'));
    await disk.append('a', bytes(' two'));
    expect(await read(disk, 'a')).toBe('one two');
    await disk.remove('a');
    expect(await read(disk, 'a')).toBeNull();
    await disk.append('a', bytes('three'));
    expect(await read(disk, 'a')).toBe('three');
  });

  it('removes what is not there without complaint', async () => {
    await expect((await open()).remove('a')).resolves.toBeUndefined();
  });

  it('keeps the order of what is asked at once', async () => {
    const disk = await open();
    await Promise.all(['1', '2', '3', '4'].map((part) => disk.append('a', bytes(part))));
    expect(await read(disk, 'a')).toBe('1234');
  });
});

describe('the data directory', () => {
  it('is for its owner alone, files included', async () => {
    const dir = newDir();
    const disk = await openDisk(dir);
    await disk.replace('a', bytes('x'));
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, 'a')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['a']);
  });

  it.each(['../a', 'a/b', '', '.', '..', '/etc/passwd'])('has no file named %j', async (name) => {
    await expect((await openDisk(newDir())).replace(name, bytes('x'))).rejects.toThrow('not a file name');
  });

  it('goes on after a failure', async () => {
    const dir = newDir();
    const disk = await openDisk(dir);
    mkdirSync(join(dir, 'taken'));
    await expect(disk.append('taken', bytes('x'))).rejects.toMatchObject({ code: 'EISDIR' });
    await disk.append('b', bytes('x'));
    expect(await read(disk, 'b')).toBe('x');
  });

  it('leaves no half of a file behind when there is no room for all of it', async () => {
    const dir = newDir();
    const noRoom: FileCalls = {
      ...nodeFileCalls,
      async open(path, flags, mode) {
        const file = await nodeFileCalls.open(path, flags, mode);
        if (!path.endsWith('.tmp')) return file;
        const write = async (): Promise<void> => {
          await file.write(bytes('half'));
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        };
        return { ...file, write };
      },
    };
    const disk = await openDisk(dir, noRoom);
    await expect(disk.replace('a', bytes('whole'))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('reads no more of a file than it is asked for', async () => {
    const disk = await openDisk(newDir());
    await disk.append('a', bytes('0123456789'));
    expect(new TextDecoder().decode((await disk.read('a', 4)) ?? undefined)).toBe('0123');
    expect(new TextDecoder().decode((await disk.read('a', 40)) ?? undefined)).toBe('0123456789');
    expect(await disk.read('b', 4)).toBeNull();
  });

  it('is for one process at a time', () => {
    const dir = newDir();
    const release = lockDataDir(dir);
    expect(() => lockDataDir(dir)).toThrow(expect.objectContaining({ code: 'data_dir_in_use' }) as Error);
    release();
    lockDataDir(dir)();
  });

  it('says when it cannot be one', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'paddock-disk-')), 'file');
    writeFileSync(file, '');
    expect(() => lockDataDir(file)).toThrow(expect.objectContaining({ code: 'data_dir_unusable' }) as Error);
  });

  it('says what to do about a full disk, and words nothing that the system did not say', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    expect(explainDataDir('/var/lib/paddock', full)).toMatchObject({
      code: 'data_dir_unusable',
      message:
        '/var/lib/paddock cannot be used, the disk is full: free some space (ENOSPC: no space left on device, write)',
      cause: full,
    });
    const other = new Error('a defect');
    expect(explainDataDir('/var/lib/paddock', other)).toBe(other);
  });
});
