import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Moment } from '../clock/exchange.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Clock, Disk, IdentityKeys, ServerTrust, Web } from '../ports.ts';
import type { Log } from '../report/log.ts';
import type { AttemptParts } from './attempt.ts';
import type { Pin } from './pin.ts';

/** What a person in front of the device has to know. */
export type Saying = 'waiting' | 'pending' | 'rejected' | 'retired' | 'revoked' | 'enrolled' | 'key changed';

export interface EnrolmentParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly inflater: Inflate;
  readonly keys: IdentityKeys;
  /** What an operator should see before letting the device in. */
  readonly facts: Readonly<Record<string, string>>;
  readonly pin: Pin;
  /** The id in the configuration, from before this device enrolled. */
  readonly device: string | null;
  /** @param trust null: whoever answers */
  readonly openWeb: (trust: ServerTrust | null) => Web;
  readonly time: {
    readonly at: (moment: Moment) => TrustedInterval;
    readonly enrolled: AttemptParts['exchanged'];
  };
  /** Between 0 and 1. */
  readonly random: () => number;
  /** Says it on the console. */
  readonly say: (what: Saying, message: string) => void;
}
