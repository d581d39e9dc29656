import type { PtyMaster } from '../pty.ts';

/** Function codes and exceptions of the Modbus Application Protocol 1.1b3. */
const TABLES = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' } as const;
/** Writing one coil, and one register. */
const WRITES = { 5: 'coil', 6: 'holding' } as const;
const ILLEGAL_ADDRESS = 2;
const REQUEST_BYTES = 8;

type Table = (typeof TABLES)[keyof typeof TABLES];
export type Unit = Partial<Record<Table, Readonly<Record<number, number>>>>;
export interface Misbehaviour {
  /** Damages the CRC of every answer. */
  crc?: boolean;
  /** Says nothing. */
  mute?: boolean;
  /** Answers in the name of another unit. */
  as?: number;
  /** Answers after this time, and nothing else before. */
  lateMs?: number;
  /** Acknowledges what is written, and does not do it. */
  stuck?: boolean;
  /** Sends this before every answer. */
  noise?: Uint8Array;
}

/** Several Modbus RTU units on one line, with their values and their faults. */
export class ModbusSlave {
  readonly units: Record<number, Unit>;
  readonly faults: Record<number, Misbehaviour> = {};
  readonly requests: string[] = [];
  readonly #line: PtyMaster;
  #received = Buffer.alloc(0);
  /** One answer after the other, as there is one unit behind them. */
  #answers: Promise<void> = Promise.resolve();

  constructor(line: PtyMaster, units: Record<number, Unit>) {
    this.#line = line;
    this.units = units;
    line.onData((chunk) => this.#receive(chunk));
  }

  #receive(chunk: Uint8Array): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= REQUEST_BYTES) {
      const request = this.#received.subarray(0, REQUEST_BYTES);
      this.#received = this.#received.subarray(REQUEST_BYTES);
      this.#answer(request);
    }
  }

  #answer(request: Buffer): void {
    const [unit = 0, code = 0] = request;
    const table = TABLES[code as keyof typeof TABLES];
    const [address, count] = [request.readUInt16BE(2), request.readUInt16BE(4)];
    if (code in WRITES) return this.#write(request, WRITES[code as keyof typeof WRITES]);
    this.requests.push(`${unit} ${table} ${address}+${count}`);
    const fault = this.faults[unit] ?? {};
    const memory = this.units[unit];
    if (!memory || fault.mute) return;
    this.#send(fault, [fault.as ?? unit, ...body(code, valuesOf(memory[table] ?? {}, address, count))]);
  }

  /** The answer repeats the request. */
  #write(request: Buffer, table: 'coil' | 'holding'): void {
    const [unit = 0, code = 0] = request;
    const [address, word] = [request.readUInt16BE(2), request.readUInt16BE(4)];
    this.requests.push(`${unit} ${table} ${address}=${word}`);
    const fault = this.faults[unit] ?? {};
    const memory = this.units[unit];
    if (!memory || fault.mute) return;
    const hasIt = memory[table]?.[address] !== undefined;
    const value = table === 'coil' ? Number(word === 0xff00) : word;
    if (hasIt && !fault.stuck) this.units[unit] = { ...memory, [table]: { ...memory[table], [address]: value } };
    this.#send(fault, hasIt ? request.subarray(0, 6) : [unit, code | 0x80, ILLEGAL_ADDRESS]);
  }

  #send(fault: Misbehaviour, bytes: Iterable<number>): void {
    const frame = sealed(Buffer.from([...bytes]));
    if (fault.crc) frame[frame.length - 1] = (frame.at(-1) ?? 0) ^ 0xff;
    const answer = Buffer.concat([fault.noise ?? Buffer.alloc(0), frame]);
    this.#answers = this.#answers
      .then(() => new Promise((resolve) => setTimeout(resolve, fault.lateMs ?? 0)))
      .then(() => this.#line.write(answer))
      .catch(() => {});
  }
}

function valuesOf(memory: Readonly<Record<number, number>>, address: number, count: number): number[] | null {
  const values = Array.from({ length: count }, (_, i) => memory[address + i]);
  return values.every((value) => value !== undefined) ? values : null;
}

function body(code: number, values: number[] | null): Buffer {
  if (values === null) return Buffer.of(code | 0x80, ILLEGAL_ADDRESS);
  const data = code <= 2 ? bits(values) : Buffer.concat(values.map((word) => Buffer.of(word >> 8, word & 0xff)));
  return Buffer.concat([Buffer.of(code, data.length), data]);
}

function bits(values: readonly number[]): Buffer {
  const packed = Buffer.alloc(Math.ceil(values.length / 8));
  values.forEach((bit, i) => (packed[i >> 3] = (packed[i >> 3] ?? 0) | (bit << (i & 7))));
  return packed;
}

/** Adds the CRC (Modbus over Serial Line 1.02, section 6.2.2), low byte first. */
function sealed(frame: Buffer): Buffer {
  let crc = 0xffff;
  for (const byte of frame) {
    crc ^= byte;
    for (let i = 0; i < 8; i += 1) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return Buffer.concat([frame, Buffer.of(crc & 0xff, crc >> 8)]);
}
