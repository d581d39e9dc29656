import type { AwsIotErrorCode } from '../ports.ts';

/** By the name of the SDK's error. */
const BY_NAME: Readonly<Record<string, AwsIotErrorCode>> = {
  ResourceAlreadyExistsException: 'aws_exists',
  ResourceNotFoundException: 'aws_missing',
  DeleteConflictException: 'aws_conflict',
  CertificateConflictException: 'aws_conflict',
  CertificateStateException: 'aws_conflict',
  ConflictingResourceUpdateException: 'aws_conflict',
  ConflictException: 'aws_conflict',
  VersionConflictException: 'aws_conflict',
  VersionsLimitExceededException: 'aws_limit',
  LimitExceededException: 'aws_limit',
  ServiceQuotaExceededException: 'aws_limit',
  ThrottlingException: 'aws_throttled',
  TooManyRequestsException: 'aws_throttled',
  InvalidRequestException: 'aws_refused',
  MalformedPolicyException: 'aws_refused',
  UnauthorizedException: 'aws_denied',
  CredentialsProviderError: 'aws_denied',
};

/** By the answer's status, where the name says nothing. */
const BY_STATUS: Readonly<Record<number, AwsIotErrorCode>> = {
  400: 'aws_refused',
  401: 'aws_denied',
  403: 'aws_denied',
  404: 'aws_missing',
  409: 'aws_conflict',
  429: 'aws_throttled',
};

/** What an error of the SDK means to us; what never got an answer is unreachable. */
export function codeOf(error: unknown): AwsIotErrorCode {
  if (!(error instanceof Error)) return 'aws_unreachable';
  const named = BY_NAME[error.name];
  if (named !== undefined) return named;
  const metadata: unknown = '$metadata' in error ? error.$metadata : null;
  const hasStatus = typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata;
  return BY_STATUS[Number(hasStatus ? metadata.httpStatusCode : 0)] ?? 'aws_unreachable';
}
