import { describe, expect, it } from 'vitest';
import {
  devicePolicy,
  isSamePolicy,
  MAX_POLICY_CHARS,
  servicePolicy,
  versionToDrop,
  writePolicy,
  type PolicyDocument,
} from '@paddock/cloud/aws/policy.ts';
import { filterOf, MESSAGE_KINDS, topicOf, type MessageKind } from '@paddock/shared/topics.ts';

/** The longest region that there is. */
const PREFIX = 'arn:aws-us-gov:iot:ap-southeast-1:123456789012:';
const THING = '${iot:Connection.Thing.ThingName}';

/** As AWS decides, for these policies: allowed when a statement's resource fits; `*` is anything, the rest as it stands. */
function allows(policy: PolicyDocument, thing: string, action: string, resource: string): boolean {
  return policy.Statement.filter(({ Action }) => [Action].flat().includes(action)).some(({ Resource }) =>
    [Resource].flat().some((pattern) => {
      const named = pattern.replace(THING, thing).replace(PREFIX, '');
      const literal = named.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
      return new RegExp(`^${literal.join('.*')}$`).test(resource);
    }),
  );
}

const kinds = (from: string) =>
  (Object.keys(MESSAGE_KINDS) as MessageKind[]).filter((kind) => MESSAGE_KINDS[kind].from === from);

describe('the policy of devices', () => {
  const policy = devicePolicy(PREFIX);
  const may = (action: string, resource: string) => allows(policy, 'kiosk-0001', action, resource);

  it.each(kinds('device'))('lets a device publish its own %s, and nobody else’s', (kind) => {
    expect(may('iot:Publish', `topic/${topicOf(kind, 'kiosk-0001')}`)).toBe(true);
    expect(may('iot:Publish', `topic/${topicOf(kind, 'kiosk-0002')}`)).toBe(false);
    expect(may('iot:RetainPublish', `topic/${topicOf(kind, 'kiosk-0001')}`)).toBe(MESSAGE_KINDS[kind].retained);
    expect(may('iot:Subscribe', `topicfilter/${topicOf(kind, 'kiosk-0001')}`)).toBe(false);
    expect(may('iot:Receive', `topic/${topicOf(kind, 'kiosk-0001')}`)).toBe(false);
  });

  it.each(kinds('cloud'))('lets a device hear its own %s, and nobody else’s', (kind) => {
    for (const [action, group] of [
      ['iot:Subscribe', 'topicfilter'],
      ['iot:Receive', 'topic'],
    ] as const) {
      expect(may(action, `${group}/${topicOf(kind, 'kiosk-0001')}`)).toBe(true);
      expect(may(action, `${group}/${topicOf(kind, 'kiosk-0002')}`)).toBe(false);
    }
    expect(may('iot:Publish', `topic/${topicOf(kind, 'kiosk-0001')}`)).toBe(false);
    expect(may('iot:Subscribe', `topicfilter/${filterOf(kind)}`)).toBe(false);
    expect(may('iot:Subscribe', `topicfilter/$share/paddock/${topicOf(kind, 'kiosk-0001')}`)).toBe(false);
  });

  it('lets it connect as its own thing only, with its certificate attached', () => {
    expect(may('iot:Connect', 'client/kiosk-0001')).toBe(true);
    expect(may('iot:Connect', 'client/kiosk-0002')).toBe(false);
    const [connect] = policy.Statement;
    expect(connect?.Condition).toEqual({
      Bool: { 'iot:Connection.Thing.IsAttached': 'true' },
      'ForAllValues:StringEquals': { 'iot:ConnectAttributes': ['LastWill'] },
    });
  });

  it('is no longer than AWS takes it', () => {
    for (const one of [policy, servicePolicy(PREFIX, 'g'.repeat(64))])
      expect(writePolicy(one).replaceAll(/\s/g, '').length).toBeLessThanOrEqual(MAX_POLICY_CHARS);
  });
});

describe('the policy of the service', () => {
  const policy = servicePolicy(PREFIX, 'paddock');
  const may = (action: string, resource: string) => allows(policy, '', action, resource);

  it('lets it hear devices through its group, and write to them', () => {
    expect(may('iot:Subscribe', `topicfilter/$share/paddock/${filterOf('report')}`)).toBe(true);
    expect(may('iot:Subscribe', `topicfilter/${filterOf('report')}`)).toBe(false);
    expect(may('iot:Receive', `topic/${topicOf('report', 'kiosk-0001')}`)).toBe(true);
    expect(may('iot:Publish', `topic/${topicOf('answer', 'kiosk-0001')}`)).toBe(true);
    expect(may('iot:Publish', `topic/${topicOf('report', 'kiosk-0001')}`)).toBe(false);
    expect(may('iot:Connect', 'client/paddock-cloud-0123')).toBe(true);
    expect(may('iot:Connect', 'client/kiosk-0001')).toBe(false);
  });
});

describe('versions of a policy', () => {
  const versions = (ids: readonly string[], inForce: string) => ids.map((id) => ({ id, isDefault: id === inForce }));

  it('make room only when there are five: the oldest by number that is not in force goes', () => {
    expect(versionToDrop(versions(['1', '2', '3', '4'], '1'))).toBeNull();
    expect(versionToDrop(versions(['8', '9', '10', '11', '12'], '8'))).toBe('9');
    expect(versionToDrop(versions(['12', '11', '10', '9', '8'], '12'))).toBe('8');
  });

  it('are compared by what they say', () => {
    expect(isSamePolicy('{"a": [1]}', '{"a":[1]}')).toBe(true);
    expect(isSamePolicy('{"a":[1]}', '{"a":[2]}')).toBe(false);
    expect(isSamePolicy('nonsense', '{"a":[2]}')).toBe(false);
  });
});
