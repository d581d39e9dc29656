import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';

/** A sealed report, and what an answer to it is recognised by. */
export interface SealedReport {
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  readonly digest: string;
  readonly envelope: string;
  /** The nonce of its ask; null when it asks for no answer. */
  readonly nonce: string | null;
  /** Tells of an event: on the disk before it is sent, and the last to be dropped. */
  readonly event: boolean;
  /** Of an event that the kiosk's own software posted: the id by which it asks for it again. */
  readonly eventId?: string;
}

/** A report that no signed answer covers yet. */
export interface Held extends SealedReport {
  /** Its place among all that were ever held by this process: older ones first. */
  readonly place: number;
  /** When it was made; null when an earlier start made it. */
  readonly heldAt: UptimeMs | null;
  /** A power cut leaves it. */
  readonly onDisk: boolean;
  /** Made in this connection and not sent yet: goes before what is sent again. */
  readonly live: boolean;
  /** Its place among what was sent in this connection; null when it was not. */
  readonly order: number | null;
  readonly attempts: number;
  readonly sentAt: UptimeMs | null;
  /** When this process handed it to the link for the first time, whatever became of it: no copy left earlier. */
  readonly firstSent: Moment | null;
  /** When to send it next; null waits for an answer, or for the next connection. */
  readonly dueAt: UptimeMs | null;
}
