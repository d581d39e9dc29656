import { filterOf, MESSAGE_KINDS, topicOf, type MessageKind } from '@paddock/shared/topics.ts';

/** What AWS IoT puts in place of it: the thing that the connection's certificate is attached to. */
const THING = '${iot:Connection.Thing.ThingName}';
/** What a policy may hold, white space not counted (a quota of AWS IoT that cannot be raised). */
export const MAX_POLICY_CHARS = 2_048;

interface Statement {
  readonly Effect: 'Allow';
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export interface PolicyDocument {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

const kinds = (fits: (kind: (typeof MESSAGE_KINDS)[MessageKind]) => boolean): MessageKind[] =>
  (Object.keys(MESSAGE_KINDS) as MessageKind[]).filter((kind) => fits(MESSAGE_KINDS[kind]));
const UPWARD = kinds(({ from }) => from === 'device');
const DOWNWARD = kinds(({ from }) => from === 'cloud');
const UPWARD_RETAINED = kinds(({ from, retained }) => from === 'device' && retained);
const DOWNWARD_RETAINED = kinds(({ from, retained }) => from === 'cloud' && retained);

/**
 * What every device may do, in one policy for all: connect as the thing that its certificate is attached to, with a
 * Last Will and no session that stays, and use its own topics.
 * @param arnPrefix `arn:aws:iot:<region>:<account>:`
 */
export function devicePolicy(arnPrefix: string): PolicyDocument {
  const topics = (group: 'topic' | 'topicfilter', own: readonly MessageKind[]) =>
    own.map((kind) => `${arnPrefix}${group}/${topicOf(kind, THING)}`);
  return document([
    {
      Effect: 'Allow',
      Action: 'iot:Connect',
      Resource: `${arnPrefix}client/${THING}`,
      Condition: {
        Bool: { 'iot:Connection.Thing.IsAttached': 'true' },
        'ForAllValues:StringEquals': { 'iot:ConnectAttributes': ['LastWill'] },
      },
    },
    { Effect: 'Allow', Action: 'iot:Publish', Resource: topics('topic', UPWARD) },
    { Effect: 'Allow', Action: 'iot:RetainPublish', Resource: topics('topic', UPWARD_RETAINED) },
    { Effect: 'Allow', Action: 'iot:Subscribe', Resource: topics('topicfilter', DOWNWARD) },
    { Effect: 'Allow', Action: 'iot:Receive', Resource: topics('topic', DOWNWARD) },
  ]);
}

/** What the service itself may do there: hear what devices publish, shared among its connections, and write to them. */
export function servicePolicy(arnPrefix: string, shareGroup: string): PolicyDocument {
  // In a policy `*` stands for anything; `+` is taken as it stands.
  const topics = (own: readonly MessageKind[]) => own.map((kind) => `${arnPrefix}topic/${topicOf(kind, '*')}`);
  const filters = UPWARD.map((kind) => `${arnPrefix}topicfilter/$share/${shareGroup}/${filterOf(kind)}`);
  return document([
    { Effect: 'Allow', Action: 'iot:Connect', Resource: `${arnPrefix}client/paddock-cloud-*` },
    { Effect: 'Allow', Action: 'iot:Publish', Resource: topics(DOWNWARD) },
    { Effect: 'Allow', Action: 'iot:RetainPublish', Resource: topics(DOWNWARD_RETAINED) },
    { Effect: 'Allow', Action: 'iot:Subscribe', Resource: filters },
    { Effect: 'Allow', Action: 'iot:Receive', Resource: topics(UPWARD) },
  ]);
}

const document = (Statement: readonly Statement[]): PolicyDocument => ({ Version: '2012-10-17', Statement });

/** As AWS keeps it: one spelling, so that a document can be compared with the one in force. */
export const writePolicy = (policy: PolicyDocument): string => JSON.stringify(policy);

/** Whether both say the same, however they are spaced. */
export function isSamePolicy(left: string, right: string): boolean {
  try {
    return JSON.stringify(JSON.parse(left)) === JSON.stringify(JSON.parse(right));
  } catch {
    return false;
  }
}

/** AWS keeps so many versions of a policy, and refuses one more. */
const MAX_VERSIONS = 5;

/** Which version has to go before another one can be added: the oldest that is not in force, or none. */
export function versionToDrop(versions: readonly { id: string; isDefault: boolean }[]): string | null {
  if (versions.length < MAX_VERSIONS) return null;
  const numbers = versions.filter(({ isDefault }) => !isDefault).map(({ id }) => Number(id));
  return numbers.length === 0 ? null : String(Math.min(...numbers));
}
