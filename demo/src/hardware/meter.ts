import type { ChargePoint } from './charge-point.ts';

/** Modbus application protocol V1.1b3: functions, exceptions. */
const READ_HOLDING = 3;
const READ_INPUT = 4;
const ILLEGAL_FUNCTION = 1;
const ILLEGAL_ADDRESS = 2;
/** A request to read registers: unit, function, address, count, CRC. */
const REQUEST_BYTES = 8;

export const METER_UNIT = 1;

/** The meter's input registers, two 16-bit words each, high word first. */
export const METER_REGISTERS = {
  voltageV: { address: 0, type: 'float32' },
  currentA: { address: 2, type: 'float32' },
  powerW: { address: 4, type: 'float32' },
  frequencyHz: { address: 6, type: 'float32' },
  energyWh: { address: 8, type: 'int32' },
  temperatureC: { address: 10, type: 'float32' },
} as const satisfies Partial<Record<keyof ChargePoint, { address: number; type: 'float32' | 'int32' }>>;

const IMAGE_BYTES = 24;

/** All registers of one moment, as they lie in the meter. */
export function registerImage(state: ChargePoint): Buffer {
  const image = Buffer.alloc(IMAGE_BYTES);
  for (const [quantity, { address, type }] of Object.entries(METER_REGISTERS)) {
    const value = state[quantity as keyof typeof METER_REGISTERS];
    if (type === 'float32') image.writeFloatBE(value, address * 2);
    else image.writeInt32BE(Math.round(value), address * 2);
  }
  return image;
}

/**
 * Finds the requests in what came over the line and answers those for this unit.
 * @returns the frames to send, and the bytes that may become a request yet
 */
export function answerRequests(received: Buffer, image: Buffer): { frames: Buffer[]; rest: Buffer } {
  const frames: Buffer[] = [];
  let at = 0;
  while (received.length - at >= REQUEST_BYTES) {
    const request = received.subarray(at, at + REQUEST_BYTES);
    if (crc16(request) !== 0) {
      at += 1; // Not the start of a request: look for it one byte on.
      continue;
    }
    if (request[0] === METER_UNIT) frames.push(withCrc(responseTo(request, image)));
    at += REQUEST_BYTES;
  }
  return { frames, rest: received.subarray(at) };
}

function responseTo(request: Buffer, image: Buffer): Buffer {
  const fn = request.readUInt8(1);
  const [start, count] = [request.readUInt16BE(2) * 2, request.readUInt16BE(4) * 2];
  if (fn !== READ_INPUT && fn !== READ_HOLDING) return Buffer.of(METER_UNIT, fn | 0x80, ILLEGAL_FUNCTION);
  if (count === 0 || start + count > image.length) return Buffer.of(METER_UNIT, fn | 0x80, ILLEGAL_ADDRESS);
  return Buffer.concat([Buffer.of(METER_UNIT, fn, count), image.subarray(start, start + count)]);
}

/** Modbus over serial line V1.02, section 6.2.2: low byte first, so that a whole frame checks to zero. */
export function withCrc(frame: Buffer): Buffer {
  const crc = crc16(frame);
  return Buffer.concat([frame, Buffer.of(crc & 0xff, crc >> 8)]);
}

function crc16(bytes: Buffer): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}
