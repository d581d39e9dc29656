import { amazonRoots } from './adapters/amazon-roots.ts';
import { openAwsIot } from './adapters/aws-iot.ts';
import { AwsTransport } from './aws/transport.ts';
import type { Background, Base } from './base.ts';
import { runElected } from './instances/elected.ts';

const JOB = { job: 'aws-iot', everyMs: 5_000, retryMs: 10_000, leaseMs: 90_000 } as const;

/**
 * AWS IoT Core as the transport of devices, when it is configured: its SDK is not loaded otherwise. What is to be taken
 * away there is taken away as a job.
 */
export async function openAws(
  base: Base,
  background: Background,
  started: AsyncDisposableStack,
): Promise<AwsTransport | null> {
  const { awsIotRegion: region, awsIotEndpoint: endpoint, awsIotGroup: group } = base.config;
  if (region === null) return null;
  const iot = await openAwsIot({ region, endpoint });
  const transport = new AwsTransport({ ...base, iot, group });
  const job = { ...JOB, work: transport.tidy.bind(transport) };
  background((signal) => runElected({ ...base, instanceId: base.identity.instanceId }, job, signal));
  // Before the job is waited for: what is under way there ends at once.
  started.defer(() => iot.close());
  return transport;
}

/** Whose servers devices have to believe: our own authority's, and those that they are sent to. */
export const authoritiesOf = ({ config, authority }: Pick<Base, 'config' | 'authority'>): Uint8Array[] => [
  authority.certificateDer,
  ...(config.awsIotRegion === null ? [] : amazonRoots()),
];
