import { seal, type Deflate } from '@paddock/shared/envelope.ts';
import type { Answer } from '@paddock/shared/answer.ts';
import { inventoryDigest, type Inventory } from '@paddock/shared/inventory.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Clock, Link, MachineInventory, MachineLook, Signer } from '../ports.ts';
import { codeOf, type Log } from '../report/log.ts';
import { isDue, nextLookMs, NOTHING_SENT } from './delivery.ts';

/** After the first answer: whatever is urgent at a start comes first. */
const FIRST_LOOK_AFTER_MS = 15_000;
const LOOK_AGAIN_AFTER_MS = 3_600_000;

export interface InventoryParts {
  readonly clock: Clock;
  readonly machine: MachineLook;
  readonly link: Pick<Link, 'publish'>;
  readonly signer: Signer;
  readonly deflater: Deflate;
  readonly log: Log;
  /** From 0 to 1. */
  readonly random: () => number;
}

export type InventoryOrigin = Pick<Inventory, 'device' | 'incarnation' | 'start'> & { readonly bootId: string };

export interface InventoryKeeper {
  /** What reports say of it; null before the first look of this start. */
  digest(): string | null;
  /** An answer was taken. */
  answered(wants: Answer['wants']): void;
  stop(): Promise<void>;
}

/** Looks at the machine after the first answer and once a day, and sends what is new or wanted. */
export function keepInventory(parts: InventoryParts, origin: InventoryOrigin): InventoryKeeper {
  const { clock, machine, link, log } = parts;
  const stopping = new AbortController();
  const firstAnswer = Promise.withResolvers<void>();
  let held: { readonly digest: string; readonly envelope: string } | null = null;
  let delivery = NOTHING_SENT;
  let isSending = false;
  const send = async (isWanted: boolean): Promise<void> => {
    const now = clock.monotonic();
    if (held === null || isSending || !isDue(delivery, held.digest, isWanted, now)) return;
    const { digest, envelope } = held;
    isSending = true;
    try {
      await link.publish(topicOf('inventory', origin.device), envelope);
      delivery = { digest, at: now };
      log.info({ digest, bytes: envelope.length }, 'Sent the inventory');
    } catch (cause) {
      // The next answer comes over a connection that stands.
      log.debug({ code: codeOf(cause) }, 'The inventory did not reach the broker');
    }
    isSending = false;
  };
  const look = async (): Promise<number> => {
    try {
      held = await sealed(parts, origin, () => machine.look(stopping.signal));
      void send(false);
      return nextLookMs(parts.random());
    } catch (cause) {
      if (!stopping.signal.aborted)
        log.warn({ code: codeOf(cause), err: cause }, 'The machine could not be looked at: trying again in an hour');
      return LOOK_AGAIN_AFTER_MS;
    }
  };
  const run = async (): Promise<void> => {
    await firstAnswer.promise;
    await clock.sleep(FIRST_LOOK_AFTER_MS, stopping.signal);
    while (!stopping.signal.aborted) await clock.sleep(await look(), stopping.signal);
  };
  const running = run();
  return {
    digest: () => held?.digest ?? null,
    answered(wants) {
      firstAnswer.resolve();
      void send(wants.includes('inventory'));
    },
    async stop() {
      stopping.abort();
      firstAnswer.resolve();
      await running;
    },
  };
}

/** Sealed once: what is sent again is the same bytes. The moment is that before the look: what changes later is new. */
async function sealed(
  { clock, signer, deflater }: InventoryParts,
  { device, incarnation, start, bootId }: InventoryOrigin,
  look: () => Promise<MachineInventory>,
) {
  const [uptimeMs, segment, wallMs] = [clock.monotonic(), clock.segment(), clock.wall()];
  const { components, unseen } = await look();
  const inventory = {
    v: PAYLOAD_VERSION,
    device,
    incarnation,
    start,
    boot: { id: bootId },
    uptimeMs,
    ...(segment > 0 && { segment }),
    wallMs,
    ...(unseen.length > 0 && { unseen: [...unseen] }),
    components,
  };
  return { digest: await inventoryDigest(components), envelope: await seal('inventory', inventory, signer, deflater) };
}
