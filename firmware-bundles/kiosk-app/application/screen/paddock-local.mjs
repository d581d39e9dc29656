/**
 * A client of the agent's local interface, for the software of a kiosk: take this file along, it needs nothing but Node.
 * What it speaks is written down in docs/local.md; any other HTTP client will do as well.
 */
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const ANSWERS_WITHIN_MS = 5_000;
const AGAIN_AFTER_MS = 250;
/** While no agent answers, it is asked ever more rarely. */
const AGAIN_AT_LEAST_MS = 5_000;
/** The agent says something at least every 15 s. */
const SILENT_MS = 40_000;
/** The agent is starting, is busy, or will say so in a moment: asked again, with the same id. */
const PASSING = new Set([
  'unreachable',
  'too_many_requests',
  'too_many_connections',
  'too_many_events',
  'event_unkept',
  'stopping',
]);

/** What the agent refused. Switch on `code`; `unreachable` says that no agent answered. */
export class PaddockError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = 'PaddockError';
    this.code = code;
  }
}

export class PaddockLocal {
  /** @param {string} socket path of the agent's socket, as `local.socket` of agent.yaml has it */
  constructor(socket) {
    // Node would ask a port of the machine instead.
    if (typeof socket !== 'string' || socket === '') throw new TypeError('The path of a socket is needed');
    this.socket = socket;
  }

  /** Everything that may be read, at this moment. */
  state() {
    return this.#ask('GET', '/v1/state');
  }

  /**
   * Tells of something that happened, once however often it has to be said.
   * @returns what became of it: `recorded` by the cloud, `kept` on the kiosk's disk until the cloud can be reached,
   * `rejected` or `dropped`
   * @throws PaddockError when the agent did not accept it in time
   */
  async event(name, data, { id = randomUUID(), waitSeconds = 10, tryForSeconds = 30 } = {}) {
    // Not by the clock of the wall, which the agent may just be setting.
    const until = performance.now() + tryForSeconds * 1000;
    for (;;) {
      try {
        return await this.#ask('PUT', eventPath(id, waitSeconds), { name, data }, waitSeconds * 1000);
      } catch (error) {
        if (!PASSING.has(error.code) || performance.now() >= until) throw error;
        await sleep(AGAIN_AFTER_MS);
      }
    }
  }

  /** What became of an event. */
  outcome(id, { waitSeconds = 10 } = {}) {
    return this.#ask('GET', eventPath(id, waitSeconds), undefined, waitSeconds * 1000);
  }

  /** Keeps updates from changing what the kiosk runs; again by the same owner: for longer. */
  async takeLock(owner, reason, seconds) {
    const { lock } = await this.#ask('PUT', `/v1/lock/${encodeURIComponent(owner)}`, { reason, seconds });
    return lock;
  }

  async releaseLock(owner) {
    await this.#ask('DELETE', `/v1/lock/${encodeURIComponent(owner)}`);
  }

  /** Says how this application is: `good` or `bad`. It has to be said again within the time. */
  async sayHealth(application, status, { detail, withinSeconds = 30 } = {}) {
    const path = `/v1/applications/${encodeURIComponent(application)}`;
    await this.#ask('PUT', path, { status, detail, withinSeconds });
  }

  /**
   * Follows the state until it is told to stop, over restarts of the agent.
   * @param {(state: object | null, part: string) => void} changed gets the whole state and the part that changed; null
   * once no agent answers. What it throws is an uncaught exception, as of any listener
   * @returns {() => void} stops it
   */
  follow(changed) {
    const stopping = new AbortController();
    void this.#follow(changed, stopping.signal);
    return () => stopping.abort();
  }

  async #follow(changed, signal) {
    // What was told last: nothing yet.
    let state;
    let againMs = AGAIN_AFTER_MS;
    const tell = (now, part) => {
      state = now;
      try {
        changed(now, part);
      } catch (error) {
        // Nothing of the agent's broke off.
        setImmediate(() => {
          throw error;
        });
      }
    };
    while (!signal.aborted) {
      try {
        for await (const { event, data } of this.#changes(signal)) {
          if (event === 'end' || signal.aborted) break;
          againMs = AGAIN_AFTER_MS;
          tell(withChange(state, event, data), event);
        }
      } catch {
        // No agent answers, or it broke off: both are told below.
      }
      if (signal.aborted) return;
      if (state !== null) tell(null, 'state');
      await sleep(againMs, undefined, { signal }).catch(() => undefined);
      againMs = Math.min(2 * againMs, AGAIN_AT_LEAST_MS);
    }
  }

  async *#changes(signal) {
    const response = await this.#open('GET', '/v1/changes', undefined, SILENT_MS, signal);
    if (response.statusCode !== 200) {
      // Unread, it would hold its connection.
      response.destroy();
      throw new PaddockError('unreachable', `status ${response.statusCode}`);
    }
    let text = '';
    for await (const piece of response.setEncoding('utf8')) {
      const events = (text + piece).split('\n\n');
      text = events.pop();
      for (const lines of events) {
        const event = /^event: (.*)$/m.exec(lines)?.[1];
        const data = /^data: (.*)$/m.exec(lines)?.[1];
        if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) };
      }
    }
  }

  async #ask(method, path, body, longerMs = 0) {
    const response = await this.#open(method, path, body, ANSWERS_WITHIN_MS + longerMs);
    let text = '';
    try {
      for await (const piece of response.setEncoding('utf8')) text += piece;
    } catch (cause) {
      throw new PaddockError('unreachable', 'The agent broke off', { cause });
    }
    const answer = parseAnswer(text);
    if (response.statusCode < 400) return answer;
    throw new PaddockError(answer.code, [answer.title, answer.detail].filter(Boolean).join(': '));
  }

  #open(method, path, body, timeout, signal) {
    return new Promise((resolve, reject) => {
      // A connection each: one that is kept may be closed by the agent just when it is used again.
      const options = { socketPath: this.socket, method, path, timeout, signal, agent: false };
      const asked = request(options, resolve);
      asked.on('timeout', () => asked.destroy(new Error(`no answer within ${timeout} ms`)));
      asked.on('error', (cause) => reject(new PaddockError('unreachable', cause.message, { cause })));
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

const eventPath = (id, waitSeconds) => `/v1/events/${encodeURIComponent(id)}?wait=${waitSeconds}`;

function parseAnswer(text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PaddockError('unreachable', 'What answers is no agent', { cause });
  }
}

/** Of readings and applications only those come that changed. */
function withChange(state, part, value) {
  if (part === 'state') return value;
  const isByName = part === 'readings' || part === 'applications';
  return { ...state, [part]: isByName ? { ...state[part], ...value } : value };
}
