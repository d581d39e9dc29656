/** How far the thing of a device has come. */
export const THING_STEPS = ['wanted', 'made', 'grouped'] as const;
export type ThingStep = (typeof THING_STEPS)[number];

/** How far a certificate has come; `lost` and `leaving` are ways out. */
export const CERTIFICATE_STEPS = [
  'requested',
  'lost',
  'created',
  'permitted',
  'attached',
  'active',
  'leaving',
] as const;
export type CertificateStep = (typeof CERTIFICATE_STEPS)[number];

/**
 * Whether certificates that hang on the thing, and are on no record, are looked for: none (not so), wanted, done since
 * the device is barred or retired; gone, with the thing itself.
 */
export type Review = 'none' | 'wanted' | 'done' | 'gone';

export interface Thing {
  readonly step: ThingStep;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Certificate {
  readonly requestId: number;
  readonly keyDigest: string;
  readonly step: CertificateStep;
  readonly id: string | null;
  readonly arn: string | null;
  readonly pem: string | null;
  /** By the database's clock, in ms since 1970, as `now` of those who ask. */
  readonly askedAt: number;
  readonly changedAt: number;
}

/** What is to be done next to give a device its certificate. */
export type Step =
  | { readonly do: 'makeThing' }
  | { readonly do: 'joinGroup' }
  | { readonly do: 'abandon'; readonly certificate: Certificate }
  | { readonly do: 'request' }
  | { readonly do: 'find'; readonly certificate: Certificate }
  | { readonly do: 'permit' | 'attach' | 'activate'; readonly certificate: Certificate }
  | { readonly do: 'done'; readonly certificate: Certificate };

export interface Wanted {
  /** SHA-256 of the TLS key that the device has now. */
  readonly keyDigest: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** An active certificate that was asked for before this is not good enough: the next one is due. */
  readonly askedSince: number;
}

const UNDER_WAY = { requested: 'find', created: 'permit', permitted: 'attach', attached: 'activate' } as const;
type UnderWay = keyof typeof UNDER_WAY;

export const isUnderWay = (step: CertificateStep): step is UnderWay => Object.hasOwn(UNDER_WAY, step);

/**
 * The next step towards a thing and exactly one active certificate for this key. Every state that a failure can leave
 * behind has one, so that asking again continues.
 */
export function nextStep(thing: Thing, certificates: readonly Certificate[], wanted: Wanted): Step {
  if (thing.step === 'wanted' || !isSame(thing.attributes, wanted.attributes)) return { do: 'makeThing' };
  if (thing.step === 'made') return { do: 'joinGroup' };
  const active = certificates.find(({ step }) => step === 'active');
  if (active?.keyDigest === wanted.keyDigest && active.askedAt >= wanted.askedSince)
    return { do: 'done', certificate: active };
  const certificate = certificates.find(({ step }) => isUnderWay(step));
  if (certificate === undefined || !isUnderWay(certificate.step)) return { do: 'request' };
  // Of a key that the device has no more.
  if (certificate.keyDigest !== wanted.keyDigest) return { do: 'abandon', certificate };
  return { do: UNDER_WAY[certificate.step], certificate };
}

function isSame(left: Readonly<Record<string, string>>, right: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(left);
  return names.length === Object.keys(right).length && names.every((name) => left[name] === right[name]);
}

/** What is to be cleaned up of a device. */
export type Chore =
  | { readonly do: 'abandon'; readonly certificate: Certificate }
  | { readonly do: 'remove'; readonly certificate: Certificate }
  | { readonly do: 'sweep'; readonly certificate: Certificate }
  | { readonly do: 'review'; readonly becomes: Review }
  | { readonly do: 'deleteThing' };

/** A device that has not gone on with its certificate for so long has given up, or has a new key. */
export const ABANDONED_AFTER_MS = 15 * 60_000;
/** A certificate whose request was cut off may appear later than that: it is looked for when it must have appeared. */
export const SWEPT_AFTER_MS = 5 * 60_000;

/** What decides what is to be cleaned up. */
export interface Untidy {
  readonly certificates: readonly Certificate[];
  /** retired: everything goes; barred (no key of its is good any more): every certificate goes */
  readonly standing: 'good' | 'barred' | 'retired';
  readonly review: Review;
  /** The database's clock. */
  readonly now: number;
}

/** What is on record goes first, then what is not, then the thing. */
export function choresOf({ certificates, standing, review, now }: Untidy): Chore[] {
  const chores = certificates.flatMap((certificate): Chore[] => {
    const { step } = certificate;
    if (step === 'leaving') return [{ do: 'remove', certificate }];
    if (step === 'lost') return now - certificate.askedAt >= SWEPT_AFTER_MS ? [{ do: 'sweep', certificate }] : [];
    if (standing !== 'good') return [{ do: 'abandon', certificate }];
    const isIdle = step !== 'active' && now - certificate.changedAt >= ABANDONED_AFTER_MS;
    return isIdle ? [{ do: 'abandon', certificate }] : [];
  });
  if (chores.length > 0 || review === 'gone') return chores;
  if (review === 'wanted' || (review === 'none' && standing !== 'good'))
    return [{ do: 'review', becomes: standing === 'good' ? 'none' : 'done' }];
  return standing === 'retired' && certificates.length === 0 ? [{ do: 'deleteThing' }] : [];
}
