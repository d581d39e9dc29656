import koffi from 'koffi';
import { GpioError, type GpioCode } from '../../ports-gpio.ts';

const { EAGAIN, EBUSY, EINTR, ENODEV, ENXIO, ENOTTY, EIO, EPIPE, ETIMEDOUT } = koffi.os.errno;
/** What a bus says whose chip does not answer; koffi has no name for it. */
const EREMOTEIO = 121;

/** Clock ids of Linux (time.h): the kernel stamps edges by the first, the agent's uptime is the second. */
const CLOCK_MONOTONIC = 1;
const CLOCK_MONOTONIC_RAW = 4;
const FIONBIO = 0x5421;

export interface GpioCalls {
  /** @throws GpioError */
  ioctl(fd: number, request: number, argument: Uint8Array, about: string): void;
  /** What is there at once, up to so many bytes; the next read writes over it. @throws GpioError */
  read(fd: number, most: number, about: string): Buffer;
  neverWait(fd: number): void;
  /** What has to be added to CLOCK_MONOTONIC to have CLOCK_MONOTONIC_RAW, in ms. */
  rawOffsetMs(): number;
}

export function openCalls(): GpioCalls {
  const libc = koffi.load(null);
  const ioctl = libc.func('int ioctl(int, ulong, _Inout_ void *)');
  const read = libc.func('long read(int, _Out_ void *, size_t)');
  const gettime = libc.func('int clock_gettime(int, _Out_ void *)');
  const timespec = new BigInt64Array(2);
  /** Lines take turns with it. */
  let batch: Buffer = Buffer.alloc(0);
  const nowMs = (clockId: number): number => {
    gettime(clockId, timespec);
    return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
  };
  const call = (about: string, work: () => number): number => {
    for (;;) {
      const result = work();
      if (result >= 0) return result;
      const errno = koffi.errno();
      if (errno === EAGAIN) return 0;
      if (errno !== EINTR) throw gpioError(errno, about);
    }
  };
  return {
    ioctl: (fd, request, argument, about) => void call(about, () => Number(ioctl(fd, request, argument))),
    read(fd, most, about) {
      if (batch.length < most) batch = Buffer.alloc(most);
      return batch.subarray(
        0,
        call(about, () => Number(read(fd, batch, most))),
      );
    },
    neverWait: (fd) => void call('FIONBIO', () => Number(ioctl(fd, FIONBIO, new Int32Array([1])))),
    rawOffsetMs() {
      const before = nowMs(CLOCK_MONOTONIC);
      const raw = nowMs(CLOCK_MONOTONIC_RAW);
      return raw - (before + nowMs(CLOCK_MONOTONIC)) / 2;
    },
  };
}

/** What the numbers of the system mean here; any other is the driver's refusal. */
const MEANINGS = new Map<number | undefined, GpioCode>([
  [EBUSY, 'gpio_line_busy'],
  [ENODEV, 'gpio_chip_gone'],
  [EIO, 'gpio_no_answer'],
  [EREMOTEIO, 'gpio_no_answer'],
  [EPIPE, 'gpio_no_answer'],
  [ETIMEDOUT, 'gpio_no_answer'],
  [ENXIO, 'gpio_no_edges'],
  [ENOTTY, 'gpio_unsupported'],
]);

/** @param about what was asked for, and of whom */
function gpioError(errno: number, about: string): GpioError {
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  return new GpioError(MEANINGS.get(errno) ?? 'gpio_line_refused', `${about} (${name})`);
}
