import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { EventNotes } from '@paddock/agent/local/event-notes.ts';
import { LocalEvents } from '@paddock/agent/local/events.ts';
import type { LocalReply } from '@paddock/agent/ports-local.ts';
import type { EventBody } from '@paddock/agent/local/shapes.ts';
import { quietLog } from './quiet-log.ts';
import type { Answer } from '@paddock/shared/answer.ts';
import type { SessionBench } from './session.ts';

export const SWIPE: EventBody = { name: 'card-swipe', data: { card: '04A2F7C1' } };

const FOR_EVER_MS = 1e9;

/** Events of the kiosk's own software on a session in virtual time. */
export class LocalEventsBench {
  readonly bench: SessionBench;
  readonly events: LocalEvents;
  readonly gone = new AbortController();
  readonly codes: string[];
  readonly answers: Answer[] = [];
  /** The events that are made meanwhile are known once this has resolved. */
  known: Promise<void> = Promise.resolve();

  private constructor(bench: SessionBench, events: LocalEvents, codes: string[]) {
    this.bench = bench;
    this.events = events;
    this.codes = codes;
  }

  static async on(bench: SessionBench): Promise<LocalEventsBench> {
    const { session, clock, disk } = bench;
    const codes: string[] = [];
    const events: LocalEvents = new LocalEvents({
      clock,
      log: quietLog(codes),
      notes: await EventNotes.open(disk),
      inflater,
      report(event) {
        const reported = session.event(event);
        return reported && Promise.all([reported, local.known]).then(([report]) => report);
      },
      isOnDisk: (digest) => session.outbox().find(digest)?.onDisk ?? null,
      held: () => session.outbox().held,
      isFull: () => session.outbox().isFullOfEvents,
      keepAgain: () => session.keepAgain(),
      online: () => session.online(),
    });
    const local: LocalEventsBench = new LocalEventsBench(bench, events, codes);
    bench.answered = (answer) => {
      local.answers.push(answer);
      events.answered(answer);
    };
    return local;
  }

  /** @returns the status and what is said, or the code of a refusal */
  post(id: string, event: EventBody = SWIPE, waitMs = FOR_EVER_MS): Promise<unknown> {
    return this.#told(this.events.post(id, event, waitMs, this.gone.signal));
  }

  ask(id: string, waitMs = 0): Promise<unknown> {
    return this.#told(this.events.follow(id, waitMs, this.gone.signal));
  }

  /** Lets virtual time pass until it is told, and no faster than real time by much: answers are verified in that. */
  async #told(reply: Promise<LocalReply>): Promise<unknown> {
    let isTold = false;
    const told = reply.then(
      (is) => ('status' in is ? [is.status, is.body] : is),
      (cause: unknown) => (cause instanceof Error && 'code' in cause ? cause.code : cause),
    );
    void told.finally(() => (isTold = true));
    while (!isTold) {
      await this.bench.clock.advance(10);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return told;
  }
}
