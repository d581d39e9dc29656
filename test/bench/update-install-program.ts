/** Stages what lies in a directory, as an agent does, and says how long it took and how much memory. Bundled before it is run. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openInstaller } from '@paddock/agent/installer.ts';
import { readContent } from '@paddock/agent/slots/whole.ts';

const [directory = '', from = ''] = process.argv.slice(2);
const statusKb = (field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const content = readContent(readFileSync(join(from, 'manifest')), readFileSync(join(from, 'index')));
if (content === null) throw new Error('Manifest and index do not belong together');
const installer = openInstaller(directory);
await installer.status();
const idleBytes = statusKb('VmRSS') * 1024;
// proc_pid_clear_refs(5): the peak begins anew.
writeFileSync('/proc/self/clear_refs', '5');
const start = performance.now();
await installer.stage(content, new AbortController().signal);
const stageMs = performance.now() - start;
const peakBytes = statusKb('VmHWM') * 1024;
await installer.close();
process.stdout.write(`${JSON.stringify({ stageMs, idleBytes, peakBytes })}\n`);
