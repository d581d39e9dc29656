import { readFile } from 'node:fs/promises';
import { arch, hostname, release, type as systemType } from 'node:os';
import { inflater } from './adapters/deflate.ts';
import type { MqttLinkOptions } from './adapters/mqtt.ts';
import type { AgentConfig } from './config.ts';
import { EnrolError } from './enrol/enrol-error.ts';
import { openEnrolment, type Enrolment } from './enrol/enrolment.ts';
import type { EnrolmentParts } from './enrol/parts.ts';
import { pinOf, pinOfClaim, type Pin } from './enrol/pin.ts';
import type { Clock, Disk, IdentityKeys, Link, ServerTrust, Web } from './ports.ts';
import type { Log } from './report/log.ts';
import type { Timekeeper } from './report/timekeeper.ts';
import type { Speaking } from './speaking.ts';

export const MQTTS_PORT = 8883;
const HTTPS_PORT = 443;

export interface JoiningParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly time: Timekeeper;
  readonly keys: IdentityKeys;
  readonly agentVersion: string;
  readonly say: EnrolmentParts['say'];
}

/** A device that enrols by itself, and connects with the certificate that it got. */
export interface Joining {
  readonly enrolment: Enrolment;
  readonly pin: Pin;
  /** Makes a connection to the broker, by the certificate and the authorities as they are now. */
  readonly dial: NonNullable<MqttLinkOptions['dial']>;
}

/** What is pinned; null for a device that was registered by hand. @throws EnrolError, or what reading a file throws */
export async function readPin({ cloud }: AgentConfig): Promise<Pin | null> {
  if (cloud.claim !== undefined) return pinOfClaim(await readPinned(cloud.claim, 'claim_malformed'));
  const { enrol } = cloud;
  return enrol === undefined ? null : pinOf(enrol, await readPinned(enrol.root, 'root_invalid'));
}

const readPinned = (path: string, code: 'claim_malformed' | 'root_invalid'): Promise<string> =>
  readFile(path, 'utf8').catch((cause: unknown) => {
    throw new EnrolError(code, `${path} cannot be read`, { cause });
  });

export async function openJoining(config: AgentConfig, pin: Pin, parts: JoiningParts): Promise<Joining> {
  const { clock, disk, log, time, keys, agentVersion, say } = parts;
  const facts = {
    hostname: hostname(),
    system: `${systemType()} ${release()}`,
    processor: arch(),
    agent: agentVersion,
  };
  const enrolment = await openEnrolment({
    clock,
    disk,
    log,
    inflater,
    pin,
    time,
    say,
    keys,
    facts,
    device: config.device ?? null,
    openWeb: await webOpener(pin.url, clock),
    random: Math.random,
  });
  return { enrolment, pin, dial: dialer(config, enrolment, parts) };
}

/** What TLS and HTTP take is loaded only by a device that enrols. */
export async function webOpener(url: string, clock: Clock): Promise<(trust: ServerTrust | null) => Web> {
  const [{ addressOf, connectTls }, { createWeb }] = await Promise.all([
    import('./adapters/tls.ts'),
    import('./adapters/https.ts'),
  ]);
  return (trust) => createWeb(url, () => connectTls(addressOf(url, HTTPS_PORT), trust, null, clock), clock);
}

function dialer(
  { cloud }: AgentConfig,
  enrolment: Enrolment,
  { clock, time }: Pick<JoiningParts, 'clock' | 'time'>,
): Joining['dial'] {
  return async () => {
    const { addressOf, connectTls } = await import('./adapters/tls.ts');
    const standing = enrolment.standing();
    const url = cloud.url ?? standing?.mqttUrl;
    if (!standing || !url) throw new EnrolError('enrolled_incomplete', 'no certificate, or no address of the broker');
    // Before the first exchange this is a floor: what had expired even then is refused, the rest is not judged.
    const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
    const trust: ServerTrust = { authorities: standing.authorities, fingerprint: null, time: now };
    return connectTls(addressOf(url, MQTTS_PORT), trust, { cert: standing.certificates, key: standing.tlsKey }, clock);
  };
}

/** Speaks as the device that it was let in as; what is renewed later counts from the next connection on. */
export function speakingAs({ cloud }: AgentConfig, { enrolment, dial, pin }: Joining): Speaking {
  const { device = '', mqttUrl } = enrolment.standing() ?? {};
  return {
    device,
    url: cloud.url ?? mqttUrl ?? '',
    keepAliveSeconds: cloud.keepAliveSeconds,
    dial,
    watch: (link) => watched(link, enrolment),
    cloudKeys: () => enrolment.standing()?.keys ?? [],
    leastEpoch: () => enrolment.standing()?.epoch ?? 0,
    keyUnknown: () => enrolment.keyUnknown(),
    keyListSeen: (version, epoch) => enrolment.keyListSeen(version, epoch),
    enrolled: { pin, standing: () => enrolment.standing() },
  };
}

/** Lets enrolment hear how the connection does: a certificate that is refused has to be renewed. */
const watched = (link: Link, enrolment: Enrolment): Link => ({
  ...link,
  open: (events) =>
    link.open({
      ...events,
      online() {
        enrolment.linkUp();
        events.online();
      },
      offline(reason, code) {
        enrolment.linkDown(code);
        events.offline(reason, code);
      },
    }),
});
