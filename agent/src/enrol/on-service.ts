import { isKnown } from '../clock/trusted-time.ts';
import type { ServerTrust } from '../ports.ts';
import { codeOf } from '../report/log.ts';
import type { Held } from './held.ts';
import { walkKeyLists, type Listed } from './key-lists.ts';
import type { EnrolmentParts } from './parts.ts';
import { serviceOn, type EnrolmentService } from './service.ts';

type Work<T> = (service: EnrolmentService) => Promise<T>;

/**
 * Works with the service, once it has proved who it is. The cloud may have changed its authority while the device slept,
 * or lay on a shelf with its claim: then the lists of keys say so, which the fleet root seals, so that they may be taken
 * from whoever has them. With a newer one the service is judged again.
 */
export async function onService<T>(
  held: Pick<Held, 'list'>,
  parts: EnrolmentParts,
  listed: (list: Listed) => Promise<void>,
  work: Work<T>,
): Promise<T> {
  try {
    return await served(parts, trustOf(held, parts), work);
  } catch (error) {
    if (codeOf(error) !== 'certificate_untrusted') throw error;
    const list = await served(parts, null, (service) => walked(service, parts, held)).catch(() => null);
    if (list === null || list.text === held.list?.text) throw error;
    await listed(list);
    return served(parts, trustOf(held, parts), work);
  }
}

export const walked = (
  service: EnrolmentService,
  { pin }: Pick<EnrolmentParts, 'pin'>,
  { list }: Pick<Held, 'list'>,
): Promise<Listed> => walkKeyLists((version) => service.keyList(version), pin.root, list);

function trustOf({ list }: Pick<Held, 'list'>, { pin, time, clock }: EnrolmentParts): ServerTrust {
  const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
  return {
    // A list of keys names the authorities; before the first one it is the pin.
    authorities: list?.authorities ?? [],
    fingerprint: list === null ? pin.ca : null,
    // Enrolment is what gives the time to a device that has none.
    time: isKnown(now) ? now : null,
  };
}

async function served<T>({ openWeb }: EnrolmentParts, trust: ServerTrust | null, work: Work<T>): Promise<T> {
  const web = openWeb(trust);
  try {
    return await work(serviceOn(web));
  } finally {
    web.close();
  }
}
