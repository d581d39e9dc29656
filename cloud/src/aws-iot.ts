import { amazonRoots } from './adapters/amazon-roots.ts';
import { openAwsIot } from './adapters/aws-iot.ts';
import { AwsTransport } from './aws/transport.ts';
import type { Background, Base } from './base.ts';
import type { CloudConfig } from './settings.ts';
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

/** Whose servers devices have to believe besides ours, when they are sent there. */
export const awsAuthorities = ({ awsIotRegion }: Pick<CloudConfig, 'awsIotRegion'>): Uint8Array[] =>
  awsIotRegion === null ? [] : amazonRoots();
