/** Why a device's transport in AWS IoT is not ready. Callers switch on codes; each of them is worth another try. */
export const AWS_TRANSPORT_ERRORS = {
  aws_busy: 'Somebody else is at this device’s certificate just now',
  aws_hold_lost: 'Somebody else took this device over',
  aws_slow: 'AWS IoT takes too long; what was done is kept',
  aws_throttled: 'AWS IoT is asked for too much at once',
  aws_failed: 'AWS IoT did not do what it was asked',
  device_retired: 'The device is retired',
} as const satisfies Record<string, string>;

export type AwsTransportErrorCode = keyof typeof AWS_TRANSPORT_ERRORS;

export class AwsTransportError extends Error {
  override readonly name = 'AwsTransportError';
  readonly code: AwsTransportErrorCode;
  constructor(code: AwsTransportErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? AWS_TRANSPORT_ERRORS[code] : `${AWS_TRANSPORT_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** What was to be taken away is away, or what was to be found is not there. */
export const isMissing = (error: unknown): boolean => codeOf(error) === 'aws_missing';

export const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
