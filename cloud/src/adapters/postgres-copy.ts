import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import type pg from 'pg';

/** What waits to be read; past that the server is not listened to. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Rows come one by one, and are handed on in pieces of about this size. */
const PIECE_BYTES = 256 * 1024;

/** What the connection offers beside its declared methods: the messages of COPY (PostgreSQL, "Message Flow"). */
interface CopyConnection {
  readonly stream: Duplex;
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/** What both directions answer the client alike. */
abstract class Copy implements pg.Submittable {
  readonly #text: string;
  #failure: Error | null = null;
  protected count = 0;

  constructor(text: string) {
    this.#text = text;
  }

  submit(connection: pg.Connection): void {
    (connection as pg.Connection & CopyConnection).query(this.#text);
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.count = Number(text.split(' ')[1]);
  }

  handleError(error: Error): void {
    this.#failure = error;
    this.ended(error);
  }

  handleReadyForQuery(): void {
    this.ended(this.#failure);
  }

  protected abstract ended(failure: Error | null): void;
}

/** `COPY ... TO STDOUT` as a stream of pieces, each of whole rows. */
export class CopyOut extends Copy {
  readonly #rows: Uint8Array[] = [];
  #bytes = 0;
  #stream: Duplex | null = null;
  #end: { readonly failure: Error | null } | null = null;
  #news = Promise.withResolvers<void>();

  override submit(connection: pg.Connection): void {
    this.#stream = connection.stream;
    super.submit(connection);
  }

  handleCopyData({ chunk }: { chunk: Uint8Array }): void {
    // The client's parser writes the next rows into the same memory.
    this.#rows.push(Buffer.from(chunk));
    this.#bytes += chunk.byteLength;
    if (this.#bytes >= MAX_WAITING_BYTES) this.#stream?.pause();
    if (this.#bytes >= PIECE_BYTES) this.#news.resolve();
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#end?.failure) throw this.#end.failure;
      if (this.#bytes >= PIECE_BYTES || (this.#end !== null && this.#bytes > 0)) yield this.#take();
      else if (this.#end !== null) return;
      else {
        await this.#news.promise;
        this.#news = Promise.withResolvers<void>();
      }
    }
  }

  #take(): Uint8Array {
    const piece = Buffer.concat(this.#rows.splice(0));
    this.#bytes = 0;
    this.#stream?.resume();
    return piece;
  }

  protected override ended(failure: Error | null): void {
    this.#end = { failure };
    this.#news.resolve();
  }
}

/** `COPY ... FROM STDIN`, fed from a stream. */
export class CopyIn extends Copy {
  readonly #data: AsyncIterable<Uint8Array>;
  readonly #settled = Promise.withResolvers<number>();
  #isOver = false;
  /** Why the source broke, which says more than the server's "COPY failed". */
  #cause: unknown = null;

  constructor(text: string, data: AsyncIterable<Uint8Array>) {
    super(text);
    this.#data = data;
  }

  get done(): Promise<number> {
    return this.#settled.promise;
  }

  handleCopyInResponse(connection: CopyConnection): void {
    this.#send(connection).catch((cause: unknown) => {
      this.#cause = cause;
      connection.sendCopyFail('the source broke');
    });
  }

  async #send(connection: CopyConnection): Promise<void> {
    for await (const chunk of this.#data) {
      // The server has refused: what comes now would be thrown away.
      if (this.#isOver) return;
      connection.sendCopyFromChunk(chunk);
      if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain');
    }
    if (!this.#isOver) connection.endCopyFrom();
  }

  protected override ended(failure: Error | null): void {
    this.#isOver = true;
    if (failure === null) this.#settled.resolve(this.count);
    else this.#settled.reject(this.#cause instanceof Error ? this.#cause : failure);
  }
}
