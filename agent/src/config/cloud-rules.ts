import { SERIAL_NUMBER_PATTERN } from '@paddock/shared/enrolment.ts';
import * as Type from 'typebox';
import { FINGERPRINT_PATTERN, isServiceUrl } from '../enrol/pin.ts';
import { invalid, type Problem } from './problems.ts';

/** How a device enrols without a claim: by a factory list, or by an operator's approval. */
export const EnrolSchema = Type.Object(
  {
    url: Type.Refine(
      Type.String(),
      isServiceUrl,
      () => 'must be an enrolment service such as https://cloud.example:8443',
    ),
    /** Of the cloud's certificate authority. */
    ca: Type.String({
      pattern: FINGERPRINT_PATTERN,
      expects: 'must be the fingerprint of the certificate authority: SHA-256 in base64url, 43 characters',
    }),
    /** The fleet root's public key (a JWK), relative to the configuration file. */
    root: Type.String({ minLength: 1 }),
    serialNumber: Type.Optional(
      Type.String({ pattern: SERIAL_NUMBER_PATTERN, expects: 'must be the serial number as the factory list has it' }),
    ),
    model: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  },
  { additionalProperties: false },
);

/** What these rules look at: the device's id, and how it finds its cloud. */
export interface CloudSettings {
  readonly device?: string | undefined;
  readonly cloud?: {
    readonly url?: string | undefined;
    readonly claim?: string | undefined;
    readonly enrol?: object | undefined;
  };
}

/** A device that enrols is told its id and its broker; one that was registered by hand has them here. */
export function cloudProblems({ device, cloud = {} }: CloudSettings): Problem[] {
  const { url, claim, enrol } = cloud;
  if (claim !== undefined && enrol !== undefined)
    return [invalid(['cloud', 'enrol'], 'cannot stand beside cloud.claim: a claim names the enrolment service itself')];
  return claim !== undefined || enrol !== undefined ? enrolProblems(url) : registeredProblems(device, url);
}

const enrolProblems = (url: string | undefined): Problem[] =>
  url === undefined || url.startsWith('mqtts:')
    ? []
    : [invalid(['cloud', 'url'], 'must begin with mqtts:// or be left out: a device that enrols speaks TLS')];

function registeredProblems(device: string | undefined, url: string | undefined): Problem[] {
  const problems: Problem[] = [];
  if (device === undefined) problems.push(invalid(['device'], 'is missing'));
  if (url === undefined) problems.push(invalid(['cloud', 'url'], 'is missing'));
  else if (url.startsWith('mqtts:'))
    problems.push(
      invalid(['cloud', 'url'], 'takes mqtts:// only with cloud.claim or cloud.enrol: TLS needs a certificate'),
    );
  return problems;
}
