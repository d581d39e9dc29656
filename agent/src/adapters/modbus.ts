import type Modbus from 'modbus-serial';
import {
  BusError,
  type Clock,
  type DuplexStream,
  type PortLoss,
  type RegisterBus,
  type RegisterRequest,
  type RegisterWrite,
} from '../ports.ts';
import { FramePort } from './modbus-frames.ts';

/** The package is CommonJS that calls itself a module with a default. */
type Client = Modbus.default;

interface BusLine {
  readonly path: string;
  readonly baudRate: number;
  readonly timeoutMs: number;
}

interface Read {
  readonly data: (number | boolean)[];
}

/** How each table is asked for (Modbus Application Protocol 1.1b3, sections 6.1 to 6.4). */
const READS = {
  coil: (client, { address, count }) => client.readCoils(address, count),
  discrete: (client, { address, count }) => client.readDiscreteInputs(address, count),
  holding: (client, { address, count }) => client.readHoldingRegisters(address, count),
  input: (client, { address, count }) => client.readInputRegisters(address, count),
} as const satisfies Record<RegisterRequest['table'], (client: Client, request: RegisterRequest) => Promise<Read>>;

/** The same of writing (sections 6.5 and 6.6): the answer repeats what was asked. */
const WRITES = {
  coil: async (client, { address, word }) => {
    const said = await client.writeCoil(address, word !== 0);
    return { address: said.address, word: Number(said.state) };
  },
  holding: async (client, { address, word }) => {
    const said = await client.writeRegister(address, word);
    return { address: said.address, word: said.value };
  },
} as const satisfies Record<
  RegisterWrite['table'],
  (client: Client, request: RegisterWrite) => Promise<Pick<RegisterWrite, 'address' | 'word'>>
>;

/** The silence that ends a frame: 3.5 characters of 11 bits (Modbus over Serial Line 1.02, section 2.5.1.1). */
const frameGapMs = (baudRate: number): number => Math.max(2, Math.ceil((3.5 * 11 * 1000) / baudRate));

/** One Modbus RTU bus on a serial line. modbus-serial is loaded when the first bus is opened. */
export function createModbusBus(line: BusLine, stream: DuplexStream, clock: Clock): RegisterBus {
  return new ModbusBus(line, stream, clock);
}

class ModbusBus implements RegisterBus {
  readonly #line: BusLine;
  readonly #stream: DuplexStream;
  readonly #clock: Clock;
  #client: Client | null = null;
  /** Ends the wait for an answer when the port goes away. */
  #abandon: (error: BusError) => void = () => {};
  /** An answer may still be on its way to a question that was given up. */
  #isDirty = false;

  constructor(line: BusLine, stream: DuplexStream, clock: Clock) {
    this.#line = line;
    this.#stream = stream;
    this.#clock = clock;
  }

  async open(events: { lost(loss: PortLoss): void }): Promise<void> {
    const { default: modbus } = await import('modbus-serial');
    const client = new modbus.default(new FramePort(this.#stream));
    client.setTimeout(this.#line.timeoutMs);
    this.#client = client;
    this.#isDirty = false;
    client.on('error', (error) => {
      if (this.#client !== client) return;
      const loss: PortLoss = { reason: 'unplugged', detail: messageOf(error) };
      this.#abandon(new BusError('unplugged', loss.detail));
      events.lost(loss);
    });
    await new Promise<void>((resolve, reject) =>
      client.open((error?: Error | null) => (error ? reject(error) : resolve())),
    );
  }

  async read(request: RegisterRequest): Promise<readonly number[]> {
    const read = (client: Client): Promise<Read> => READS[request.table](client, request);
    const { data } = await this.#ask(request.unit, read);
    return data.slice(0, request.count).map(Number);
  }

  async write(request: RegisterWrite): Promise<void> {
    const said = await this.#ask(request.unit, (client) => WRITES[request.table](client, request));
    if (said.address !== request.address || said.word !== request.word)
      throw new BusError('malformed', `${said.word} at ${said.address} was acknowledged`);
  }

  async #ask<T>(unit: number, ask: (client: Client) => Promise<T>): Promise<T> {
    const client = this.#client;
    if (client === null) throw new BusError('unplugged', 'the bus is closed');
    const { baudRate, timeoutMs } = this.#line;
    // A late answer carries no address: it would pass for the answer to the next question of the same length.
    await this.#clock.sleep(this.#isDirty ? timeoutMs : frameGapMs(baudRate));
    client.setID(unit);
    try {
      const answer = await new Promise<T>((resolve, reject) => {
        this.#abandon = reject;
        ask(client).then(resolve, reject);
      });
      this.#isDirty = false;
      return answer;
    } catch (cause) {
      const error = toBusError(cause);
      this.#isDirty = error.code !== 'refused';
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    this.#abandon(new BusError('unplugged', 'the bus is closed'));
    if (client) await new Promise<void>((resolve) => client.close(() => resolve()));
  }
}

/** The library tells its errors apart by fields and words only. */
function toBusError(cause: unknown): BusError {
  if (cause instanceof BusError) return cause;
  const { message = String(cause), errno, modbusCode } = asLibraryError(cause);
  if (modbusCode !== undefined) return new BusError('refused', message, { cause });
  if (errno === 'ETIMEDOUT') return new BusError('no-answer', 'no answer in time', { cause });
  if (errno === 'ECONNREFUSED') return new BusError('unplugged', message, { cause });
  return new BusError(message === 'CRC error' ? 'checksum' : 'malformed', message, { cause });
}

const messageOf = (error: unknown): string => asLibraryError(error).message ?? String(error);

function asLibraryError(cause: unknown): { message?: string; errno?: unknown; modbusCode?: unknown } {
  return typeof cause === 'object' && cause !== null ? cause : {};
}
