import type { AwsIot } from '../ports.ts';
import { codeOf } from './errors.ts';
import { arnPrefixOf, type Names } from './names.ts';
import { devicePolicy, isSamePolicy, versionToDrop, writePolicy } from './policy.ts';

/** What all devices share there. */
export interface Ground {
  /** `mqtts://<endpoint>:8883` */
  readonly mqttUrl: string;
}

/** Makes sure of the group and of the policy, as this version of the program wants it, and asks where devices go. */
export async function prepareGround(iot: AwsIot, names: Names): Promise<Ground> {
  const groupArn = await unlessThere(iot.createGroup(names.group), () => iot.describeGroup(names.group));
  await ensurePolicy(iot, names.policy, writePolicy(devicePolicy(arnPrefixOf(groupArn))));
  return { mqttUrl: `mqtts://${await iot.endpoint()}:8883` };
}

async function ensurePolicy(iot: AwsIot, name: string, wanted: string): Promise<void> {
  await unlessThere(iot.createPolicy(name, wanted), async () => {
    if (isSamePolicy(await iot.readPolicy(name), wanted)) return;
    const drop = versionToDrop(await iot.policyVersions(name));
    if (drop !== null) await iot.deletePolicyVersion(name, drop);
    await iot.addPolicyVersion(name, wanted);
  });
}

/** What is made already is looked at in place of being made. */
async function unlessThere<T>(making: Promise<T>, otherwise: () => Promise<T>): Promise<T> {
  try {
    return await making;
  } catch (error) {
    if (codeOf(error) !== 'aws_exists') throw error;
    return otherwise();
  }
}
