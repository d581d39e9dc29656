import { open } from 'node:fs/promises';
import type { StillFile } from '../ports-firmware.ts';

/** Read ahead, so that many small parts behind each other cost one call. */
const AHEAD_BYTES = 1_048_576;

export async function openStillFile(path: string): Promise<StillFile> {
  const file = await open(path);
  const { size } = await file.stat();
  let held: { readonly from: number; readonly bytes: Uint8Array } = { from: 0, bytes: Buffer.alloc(0) };
  const readAt = async (from: number, bytes: number): Promise<Buffer> => {
    const wanted = Math.max(0, Math.min(bytes, size - from));
    const buffer = Buffer.allocUnsafe(wanted);
    for (let at = 0; at < wanted;) {
      const { bytesRead } = await file.read(buffer, at, wanted - at, from + at);
      if (bytesRead === 0) return buffer.subarray(0, at);
      at += bytesRead;
    }
    return buffer;
  };
  return {
    bytes: size,
    async read(from, bytes) {
      if (bytes >= AHEAD_BYTES) return readAt(from, bytes);
      const isHeld = from >= held.from && from + bytes <= held.from + held.bytes.length;
      const there = isHeld ? held : { from, bytes: await readAt(from, AHEAD_BYTES) };
      held = there;
      return there.bytes.subarray(from - there.from, from - there.from + bytes);
    },
    close: () => file.close(),
  };
}
