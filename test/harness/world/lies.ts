import { wallMs } from '@paddock/shared/time.ts';
import type { Random } from './random.ts';
import { HOUR, SECOND } from './spans.ts';
import type { Exchange } from './trace.ts';

const LIES = [
  { weight: 3, lie: 'cloud-shifted' },
  { weight: 2, lie: 'answered-before-asked' },
  { weight: 2, lie: 'uptimes-shifted' },
  { weight: 1, lie: 'cloud-backwards' },
] as const;

/** An exchange as a lying or broken device tells of it. */
export function lieAbout(exchange: Exchange, random: Random): Exchange {
  const byMs = random.sign() * Math.round(random.logBetween(2 * SECOND, HOUR));
  const { requestUptimeMs, responseUptimeMs, cloudReceivedAt, cloudSentAt } = exchange;
  switch (random.pick(LIES).lie) {
    case 'cloud-shifted':
      return { ...exchange, cloudReceivedAt: wallMs(cloudReceivedAt + byMs), cloudSentAt: wallMs(cloudSentAt + byMs) };
    case 'answered-before-asked':
      return { ...exchange, requestUptimeMs: responseUptimeMs + 1, responseUptimeMs: requestUptimeMs };
    case 'uptimes-shifted': {
      const shift = Math.max(byMs, -requestUptimeMs);
      return { ...exchange, requestUptimeMs: requestUptimeMs + shift, responseUptimeMs: responseUptimeMs + shift };
    }
    case 'cloud-backwards':
      return { ...exchange, cloudReceivedAt: wallMs(cloudSentAt + Math.abs(byMs)) };
  }
}
