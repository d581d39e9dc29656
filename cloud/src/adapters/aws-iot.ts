import type * as Sdk from '@aws-sdk/client-iot';
import { wallMs } from '@paddock/shared/time.ts';
import { AwsIotError, type AwsCertificate, type AwsIot } from '../ports.ts';
import { codeOf } from './aws-iot-errors.ts';

export interface AwsIotOptions {
  /** Such as `eu-central-1`. */
  readonly region: string;
  /** Another address of the control plane than the region's own; null for that. */
  readonly endpoint: string | null;
  /** How often a call that may be repeated is tried, with growing pauses and jitter. */
  readonly attempts?: number;
  /** How long one try, and one call with all its tries, may take. */
  readonly tryMs?: number;
  readonly callMs?: number;
}

/** How many certificates one page of a listing holds: as many as AWS gives. */
const PAGE_SIZE = 250;

/**
 * AWS IoT Core's control plane through its SDK, which is loaded here and not before: it takes a sixth of a second.
 * Credentials are found as the SDK finds them (environment, profile, role of the machine).
 */
export async function openAwsIot(options: AwsIotOptions): Promise<AwsIot & { close(): void }> {
  const sdk = await import('@aws-sdk/client-iot');
  const { attempts = 4, callMs = 15_000 } = options;
  const client = new sdk.IoTClient({ ...settings(options), maxAttempts: attempts, retryMode: 'standard' });
  // Another try would make another certificate.
  const once = new sdk.IoTClient({ ...settings(options), maxAttempts: 1 });
  const closing = new AbortController();
  const bounded = () => ({ abortSignal: AbortSignal.any([closing.signal, AbortSignal.timeout(callMs)]) });
  const calls = callsOf(
    sdk,
    (command) => told(client.send(command, bounded())),
    (command) => told(once.send(command, bounded())),
  );
  const close = (): void => {
    closing.abort();
    client.destroy();
    once.destroy();
  };
  return { ...calls, close };
}

const settings = ({ region, endpoint, tryMs = 5_000 }: AwsIotOptions): Sdk.IoTClientConfig => ({
  region,
  ...(endpoint !== null && { endpoint }),
  requestHandler: { connectionTimeout: 3_000, requestTimeout: tryMs, throwOnRequestTimeout: true },
});

type Send = <Input extends Sdk.ServiceInputTypes, Output extends Sdk.ServiceOutputTypes>(
  command: Parameters<typeof Sdk.IoTClient.prototype.send<Input, Output>>[0],
) => Promise<Output>;

async function told<T>(sent: Promise<T>): Promise<T> {
  try {
    return await sent;
  } catch (cause) {
    throw new AwsIotError(codeOf(cause), cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function callsOf(sdk: typeof Sdk, send: Send, sendOnce: Send): AwsIot {
  return {
    async endpoint() {
      const { endpointAddress } = await send(new sdk.DescribeEndpointCommand({ endpointType: 'iot:Data-ATS' }));
      return present(endpointAddress);
    },
    async createGroup(thingGroupName) {
      return present((await send(new sdk.CreateThingGroupCommand({ thingGroupName }))).thingGroupArn);
    },
    async describeGroup(thingGroupName) {
      return present((await send(new sdk.DescribeThingGroupCommand({ thingGroupName }))).thingGroupArn);
    },
    ...policyCalls(sdk, send),
    ...thingCalls(sdk, send),
    ...certificateCalls(sdk, send, sendOnce),
  };
}

function policyCalls(sdk: typeof Sdk, send: Send) {
  return {
    async readPolicy(policyName) {
      return present((await send(new sdk.GetPolicyCommand({ policyName }))).policyDocument);
    },
    async createPolicy(policyName, policyDocument) {
      await send(new sdk.CreatePolicyCommand({ policyName, policyDocument }));
    },
    async policyVersions(policyName) {
      const { policyVersions = [] } = await send(new sdk.ListPolicyVersionsCommand({ policyName }));
      return policyVersions.map((one) => ({ id: present(one.versionId), isDefault: one.isDefaultVersion === true }));
    },
    async addPolicyVersion(policyName, policyDocument) {
      await send(new sdk.CreatePolicyVersionCommand({ policyName, policyDocument, setAsDefault: true }));
    },
    async deletePolicyVersion(policyName, policyVersionId) {
      await send(new sdk.DeletePolicyVersionCommand({ policyName, policyVersionId }));
    },
    async attachPolicy(policyName, target) {
      await send(new sdk.AttachPolicyCommand({ policyName, target }));
    },
    async detachPolicy(policyName, target) {
      await send(new sdk.DetachPolicyCommand({ policyName, target }));
    },
  } satisfies Partial<AwsIot>;
}

function thingCalls(sdk: typeof Sdk, send: Send) {
  return {
    async createThing(thingName, attributes) {
      await send(new sdk.CreateThingCommand({ thingName, attributePayload: { attributes } }));
    },
    async updateThing(thingName, attributes) {
      await send(new sdk.UpdateThingCommand({ thingName, attributePayload: { attributes, merge: false } }));
    },
    async addToGroup(thingName, thingGroupName) {
      await send(new sdk.AddThingToThingGroupCommand({ thingName, thingGroupName }));
    },
    async principalsOf(thingName) {
      return (await send(new sdk.ListThingPrincipalsCommand({ thingName }))).principals ?? [];
    },
    async deleteThing(thingName) {
      await send(new sdk.DeleteThingCommand({ thingName }));
    },
    async attachThing(thingName, principal) {
      await send(new sdk.AttachThingPrincipalCommand({ thingName, principal }));
    },
    async detachThing(thingName, principal) {
      await send(new sdk.DetachThingPrincipalCommand({ thingName, principal }));
    },
  } satisfies Partial<AwsIot>;
}

function certificateCalls(sdk: typeof Sdk, send: Send, sendOnce: Send) {
  return {
    async createCertificate(certificateSigningRequest) {
      const input = { certificateSigningRequest, setAsActive: false };
      return certificateOf(await sendOnce(new sdk.CreateCertificateFromCsrCommand(input)));
    },
    async describeCertificate(certificateId) {
      const { certificateDescription } = await send(new sdk.DescribeCertificateCommand({ certificateId }));
      return { ...certificateOf(certificateDescription ?? {}), isActive: certificateDescription?.status === 'ACTIVE' };
    },
    async certificates(marker) {
      const input = { pageSize: PAGE_SIZE, ascendingOrder: false, ...(marker !== undefined && { marker }) };
      const { certificates = [], nextMarker } = await send(new sdk.ListCertificatesCommand(input));
      const items = certificates.map(({ certificateId, status, creationDate }) => ({
        id: present(certificateId),
        isActive: status === 'ACTIVE',
        createdAt: wallMs(creationDate?.getTime() ?? 0),
      }));
      return { items, marker: nextMarker };
    },
    async setActive(certificateId, active) {
      await send(new sdk.UpdateCertificateCommand({ certificateId, newStatus: active ? 'ACTIVE' : 'INACTIVE' }));
    },
    async deleteCertificate(certificateId) {
      // Forced: what others attached to it does not keep it alive; a thing does.
      await send(new sdk.DeleteCertificateCommand({ certificateId, forceDelete: true }));
    },
  } satisfies Partial<AwsIot>;
}

function certificateOf(answer: {
  certificateId?: string | undefined;
  certificateArn?: string | undefined;
  certificatePem?: string | undefined;
}): AwsCertificate {
  const { certificateId, certificateArn, certificatePem } = answer;
  return { id: present(certificateId), arn: present(certificateArn), pem: present(certificatePem) };
}

/** @throws AwsIotError: an answer without what it has to hold is none */
function present(value: string | undefined): string {
  if (value === undefined || value === '') throw new AwsIotError('aws_unreachable', 'the answer is not whole');
  return value;
}
