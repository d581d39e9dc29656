import type { Inflate } from '@paddock/shared/envelope.ts';
import type { Moment } from '../clock/exchange.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Clock, Disk, ServerTrust, Web } from '../ports.ts';
import type { Log } from '../report/log.ts';
import type { AttemptParts } from './attempt.ts';
import type { Pin } from './pin.ts';
import type { Applicant } from './request.ts';

/** What a person in front of the device has to know. */
export type Saying = 'waiting' | 'pending' | 'rejected' | 'retired' | 'enrolled';

export interface EnrolmentParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly inflater: Inflate;
  readonly applicant: Omit<Applicant, 'device'>;
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
