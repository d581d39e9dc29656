/** One server-sent event. */
export interface StreamEvent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

export interface EventStream {
  readonly events: StreamEvent[];
  /** Comments, such as heartbeats. */
  readonly comments: string[];
  /** Resolves when an event fits; rejects when the stream ends first. */
  until(fits: (event: StreamEvent) => boolean): Promise<StreamEvent>;
  /** Resolves when the server has ended the stream. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Listens to server-sent events as a browser does (WHATWG HTML, 9.2.6). */
export async function listenTo(url: string, headers: Readonly<Record<string, string>>): Promise<EventStream> {
  const abort = new AbortController();
  const response = await fetch(url, { headers, signal: abort.signal });
  if (response.status !== 200 || response.body === null) throw new Error(`The stream answered ${response.status}`);
  const events: StreamEvent[] = [];
  const comments: string[] = [];
  let changed = Promise.withResolvers<void>();
  let isOver = false;
  const read = async (): Promise<void> => {
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) take(block, events, comments);
      changed.resolve();
      changed = Promise.withResolvers();
    }
  };
  const ended = read()
    .catch(() => undefined)
    .then(() => {
      isOver = true;
      changed.resolve();
    });
  return {
    events,
    comments,
    ended,
    close: () => abort.abort(),
    async until(fits) {
      for (;;) {
        const found = events.find(fits);
        if (found) return found;
        if (isOver) throw new Error('The stream ended before the event came');
        await changed.promise;
      }
    },
  };
}

function take(block: string, events: StreamEvent[], comments: string[]): void {
  const fields = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const comment = fields.get('');
  if (comment !== undefined) comments.push(comment);
  const event = fields.get('event');
  if (event !== undefined)
    events.push({
      id: fields.get('id') ?? '',
      event,
      data: JSON.parse(fields.get('data') ?? '{}') as Record<string, unknown>,
    });
}
