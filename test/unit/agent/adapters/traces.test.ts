import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTraces } from '@paddock/agent/adapters/traces.ts';
import { killedIn, kernelLines } from '@paddock/agent/adapters/traces/kernel-log.ts';
import { createVitals } from '@paddock/agent/adapters/vitals.ts';
import { openFixedFile } from '@paddock/agent/adapters/fixed-file.ts';

let root: string;
let dataDir: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'paddock-traces-'));
  dataDir = join(root, 'state');
  mkdirSync(dataDir);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const put = (path: string, content: string | Uint8Array): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const look = () => createTraces(dataDir, root).look();

describe('what is found of how things ended', () => {
  it('is nothing on a machine that tells nothing', async () => {
    expect(await look()).toEqual({
      pid: process.pid,
      watchdogs: [],
      panics: [],
      supervisor: null,
      fatal: null,
      oomKills: { own: null, machine: null },
      killed: [],
      kernel: '',
    });
  });

  it('are the watchdogs that reset the machine, and none that overheated or says nonsense', async () => {
    put('sys/class/watchdog/watchdog0/bootstatus', '32\n');
    put('sys/class/watchdog/watchdog1/bootstatus', '1\n');
    put('sys/class/watchdog/watchdog2/bootstatus', 'unsupported\n');
    put('sys/class/watchdog/watchdog3/bootstatus', '33\n');
    expect((await look()).watchdogs).toEqual(['watchdog0', 'watchdog3']);
  });

  it('is a panic, in its parts, whose files are taken away when it was told; those of systemd stay', async () => {
    put('sys/fs/pstore/dmesg-ramoops-0', 'Panic#1 Part1\n<0>[   9.1] Kernel panic - not syncing: Fatal exception\n');
    put('sys/fs/pstore/console-ramoops-0', 'not this');
    put('var/lib/systemd/pstore/1795464003/dmesg.txt', 'Oops: 0002 [#1] SMP\n');
    const { panics } = await look();
    expect(panics.map(({ title, files }) => [title, files.length])).toEqual([
      ['Kernel panic - not syncing: Fatal exception', 1],
      ['Oops: 0002 [#1] SMP', 0],
    ]);
    expect((await look()).panics).toEqual(panics);
    await createTraces(dataDir, root).takeAway([...(panics[0]?.files ?? []), '/nowhere/at/all']);
    expect((await look()).panics.map(({ title }) => title)).toEqual(['Oops: 0002 [#1] SMP']);
    expect(existsSync(join(root, 'sys/fs/pstore/console-ramoops-0'))).toBe(true);
  });

  it('is no more of a panic than is bounded, and its end', async () => {
    put('sys/fs/pstore/dmesg-efi-1', `${'x'.repeat(5_000_000)}the end`);
    const [panic] = (await look()).panics;
    expect(panic?.text).toHaveLength(32_768);
    expect(panic?.text).toMatch(/the end$/);
  });

  it.each([
    ['signal killed SEGV\n', { result: 'signal', code: 'killed', status: 'SEGV' }],
    ['watchdog dumped ABRT\n', { result: 'watchdog', code: 'dumped', status: 'ABRT' }],
    ['exit-code exited 70', { result: 'exit-code', code: 'exited', status: '70' }],
    ['success\n', { result: 'success', code: '', status: '' }],
    ['', null],
    ['rm -rf / ; \u0000', null],
    ['x'.repeat(100_000), null],
  ])('is what the service manager wrote down: %j', async (text, word) => {
    put('state/ended', text);
    expect((await look()).supervisor).toEqual(word);
  });

  it.each([
    [
      '{"header":{"event":"Allocation failed - JavaScript heap out of memory"},"javascriptStack":{"message":"m","stack":["at a"]},"nativeStack":[{"symbol":"abort"}]}',
      { event: 'Allocation failed - JavaScript heap out of memory', stack: 'm\nat a\nabort' },
    ],
    ['{"header":{"event":"x"},"javascriptStack":7,"nativeStack":{}}', { event: 'x', stack: '' }],
    ['{"header":', { event: 'a report that cannot be read', stack: '' }],
    ['[]', { event: 'a report that cannot be read', stack: '' }],
  ])('is the report of Node: %s', async (text, fatal) => {
    put('state/fatal.json', text);
    expect((await look()).fatal).toEqual(fatal);
  });

  it('are kills for memory, of the control group and of the machine', async () => {
    put('proc/self/cgroup', '0::/system.slice/paddock-agent.service\n');
    put('sys/fs/cgroup/system.slice/paddock-agent.service/memory.events', 'low 0\noom 3\noom_kill 2\n');
    put('proc/vmstat', 'nr_free_pages 7\noom_kill 5\n');
    expect((await look()).oomKills).toEqual({ own: 2, machine: 5 });
  });

  it('are lines of the kernel, and the processes that it killed', () => {
    put('kmsg', '6,339,5140900,-;Out of memory: Killed process 812 (node) total-vm:1kB\n SUBSYSTEM=x\n');
    const lines = kernelLines(join(root, 'kmsg'));
    expect(lines).toEqual(['Out of memory: Killed process 812 (node) total-vm:1kB']);
    expect(killedIn(lines)).toEqual([812]);
    expect(kernelLines(join(root, 'nothing'))).toEqual([]);
  });
});

describe('what is wrong with the machine', () => {
  const troubles = () => createVitals(dataDir, root).troubles();

  it('is nothing where nothing is, and where nothing can be read', async () => {
    expect(await troubles()).toEqual([]);
    put('sys/fs/ext4/sda1/errors_count', '0\n');
    put('sys/class/thermal/thermal_zone0/temp', '48200\n');
    put('sys/class/hwmon/hwmon0/in0_lcrit_alarm', '0\n');
    put('proc/pressure/memory', 'some avg10=0.00 avg60=1.50 avg300=0.00 total=1\n');
    put('proc/vmstat', 'oom_kill 0\n');
    expect(await troubles()).toEqual([]);
  });

  it('is what disks, zones, supply and memory say', async () => {
    put('sys/fs/ext4/mmcblk0p2/errors_count', '3\n');
    put('sys/class/thermal/thermal_zone0/temp', '98500\n');
    put('sys/class/thermal/thermal_zone0/trip_point_0_type', 'critical\n');
    put('sys/class/thermal/thermal_zone0/trip_point_0_temp', '100000\n');
    put('sys/class/thermal/thermal_zone1/temp', '86000\n');
    put('sys/class/thermal/thermal_zone2/temp', 'soon\n');
    put('sys/class/hwmon/hwmon1/in0_lcrit_alarm', '1\n');
    put('proc/pressure/memory', 'some avg10=0.00 avg60=35.10 avg300=0.00 total=1\nfull avg10=0.00\n');
    put('proc/vmstat', 'oom_kill 2\n');
    expect(await troubles()).toEqual([
      { code: 'disk_errors', part: 'mmcblk0p2', count: 3 },
      { code: 'temperature_high', part: 'thermal_zone0' },
      { code: 'temperature_high', part: 'thermal_zone1' },
      { code: 'undervoltage', part: 'hwmon1' },
      { code: 'memory_pressure' },
      { code: 'memory_kills', count: 2 },
    ]);
  });
});

describe('a file of fixed size', () => {
  it('is made whole, keeps what is written, and is made anew when it has another size', async () => {
    const path = join(dataDir, 'recorder');
    const first = openFixedFile(path, 4_096);
    expect(first.found).toBeNull();
    await first.file.write(512, new Uint8Array([1, 2]));
    first.file.writeNow(514, new Uint8Array([3]));
    await first.file.sync();
    await first.file.close();
    expect([...readFileSync(path).subarray(512, 516)]).toEqual([1, 2, 3, 0]);
    const second = openFixedFile(path, 4_096);
    expect(second.found?.slice(512, 515)).toEqual(new Uint8Array([1, 2, 3]));
    await second.file.close();
    const other = openFixedFile(path, 8_192);
    expect(other.found).toBeNull();
    await other.file.close();
    expect(readFileSync(path)).toHaveLength(8_192);
  });

  it('is refused where there can be none', () => {
    mkdirSync(join(dataDir, 'recorder'));
    expect(() => openFixedFile(join(dataDir, 'recorder'), 4_096)).toThrow();
    expect(() => openFixedFile('/proc/recorder', 4_096)).toThrow();
  });
});
