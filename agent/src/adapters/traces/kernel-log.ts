import { closeSync, constants, openSync, readSync } from 'node:fs';

/** Records of the kernel's log that are looked through at most; it holds some thousands. */
const MOST_RECORDS = 20_000;
const MOST_LINES = 100;
/** One record is at most so long (Documentation/ABI/testing/dev-kmsg). */
const RECORD_BYTES = 8_192;
/** A reader that was overtaken goes on with the oldest record that is left. */
const OVERTAKEN = 'EPIPE';

const TELLING = /out of memory|oom-kill|oom_reaper|Killed process|I\/O error|EXT4-fs error|under-?voltage|segfault/i;

/**
 * What the kernel said in this boot of memory, disks and supply; nothing where its log may not be read (which takes
 * CAP_SYSLOG, or kernel.dmesg_restrict=0). Each read gives one record, and none waits.
 */
export function kernelLines(path: string): string[] {
  const lines: string[] = [];
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return lines;
  }
  const bytes = new Uint8Array(RECORD_BYTES);
  for (let record = 0; record < MOST_RECORDS; record += 1) {
    const text = nextRecord(fd, bytes);
    if (text === null) break;
    // `level,sequence,microseconds,flags;text`, and lines of properties behind it.
    const [, said = ''] = /^[^;]*;([^\n]*)/.exec(text) ?? [];
    if (TELLING.test(said)) lines.push(said);
  }
  closeSync(fd);
  return lines.slice(-MOST_LINES);
}

/** Null at the end. */
function nextRecord(fd: number, bytes: Uint8Array): string | null {
  try {
    const length = readSync(fd, bytes, 0, bytes.length, null);
    return length === 0 ? null : new TextDecoder().decode(bytes.subarray(0, length));
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === OVERTAKEN ? '' : null;
  }
}

/** The processes of which a line says that they were killed for memory. */
export const killedIn = (lines: readonly string[]): number[] =>
  lines.flatMap((line) => [...line.matchAll(/Killed process (\d+)/g)].map(([, pid]) => Number(pid)));
