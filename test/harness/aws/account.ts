import { createHash, randomUUID } from 'node:crypto';
import { certifyRequest, newIssuer } from './issuer.ts';

/** An error as AWS IoT gives it. */
export class AwsFault extends Error {
  readonly status: number;
  readonly type: string;
  constructor(status: number, type: string, message = type) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export interface FakeCertificate {
  readonly id: string;
  readonly arn: string;
  readonly pem: string;
  readonly createdAt: number;
  status: 'ACTIVE' | 'INACTIVE';
  readonly policies: Set<string>;
  readonly things: Set<string>;
}

interface FakePolicy {
  readonly versions: Map<string, string>;
  inForce: string;
  made: number;
}

export const REGION = 'eu-test-1';
export const ARN_PREFIX = `arn:aws:iot:${REGION}:123456789012:`;

const missing = (what: string): AwsFault => new AwsFault(404, 'ResourceNotFoundException', `${what} not found`);
const exists = (what: string): AwsFault => new AwsFault(409, 'ResourceAlreadyExistsException', `${what} exists`);

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw missing(what);
  return value;
}

/** What one account has in AWS IoT, with the rules of the real one as its API reference gives them. */
export class FakeAccount {
  readonly groups = new Map<string, Set<string>>();
  readonly policies = new Map<string, FakePolicy>();
  readonly things = new Map<string, Record<string, string>>();
  readonly certificates = new Map<string, FakeCertificate>();
  readonly #issuer = newIssuer();
  /** The real one detaches a thing some seconds later; here at the second time that it is asked for. */
  lateDetach = false;
  readonly #detaching = new Set<string>();
  /** Principals that are no certificates, by their things. */
  readonly #identities = new Map<string, Set<string>>();

  createGroup(name: string): object {
    if (this.groups.has(name)) throw exists('group');
    this.groups.set(name, new Set());
    return this.describeGroup(name);
  }

  describeGroup(name: string): object {
    found(this.groups.get(name), 'group');
    return { thingGroupName: name, thingGroupArn: `${ARN_PREFIX}thinggroup/${name}` };
  }

  createPolicy(name: string, document: string): object {
    if (this.policies.has(name)) throw exists('policy');
    requirePolicy(document);
    this.policies.set(name, { versions: new Map([['1', document]]), inForce: '1', made: 1 });
    return { policyName: name };
  }

  getPolicy(name: string): object {
    const { versions, inForce } = found(this.policies.get(name), 'policy');
    return { policyName: name, policyDocument: versions.get(inForce), defaultVersionId: inForce };
  }

  policyVersions(name: string): object {
    const { versions, inForce } = found(this.policies.get(name), 'policy');
    return { policyVersions: [...versions.keys()].map((id) => ({ versionId: id, isDefaultVersion: id === inForce })) };
  }

  createPolicyVersion(name: string, document: string, setAsDefault: boolean): object {
    const policy = found(this.policies.get(name), 'policy');
    requirePolicy(document);
    if (policy.versions.size >= 5) throw new AwsFault(409, 'VersionsLimitExceededException');
    const id = String((policy.made += 1));
    policy.versions.set(id, document);
    if (setAsDefault) policy.inForce = id;
    return { policyVersionId: id };
  }

  deletePolicyVersion(name: string, id: string): object {
    const policy = found(this.policies.get(name), 'policy');
    if (policy.inForce === id) throw new AwsFault(409, 'DeleteConflictException');
    if (!policy.versions.delete(id)) throw missing('version');
    return {};
  }

  createThing(name: string, attributes: Record<string, string>): object {
    requireAttributes(attributes);
    const known = this.things.get(name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(attributes)) throw exists('thing');
    this.things.set(name, attributes);
    return { thingName: name };
  }

  updateThing(name: string, attributes: Record<string, string>): object {
    requireAttributes(attributes);
    found(this.things.get(name), 'thing');
    this.things.set(name, attributes);
    return {};
  }

  deleteThing(name: string): object {
    if (this.#principals(name).length + (this.#identities.get(name)?.size ?? 0) > 0)
      throw new AwsFault(400, 'InvalidRequestException', 'still attached to one or more principals');
    this.things.delete(name);
    for (const members of this.groups.values()) members.delete(name);
    return {};
  }

  addToGroup(thing: string, group: string): object {
    found(this.things.get(thing), 'thing');
    found(this.groups.get(group), 'group').add(thing);
    return {};
  }

  principalsOf(thing: string): object {
    found(this.things.get(thing), 'thing');
    return { principals: [...this.#principals(thing).map(({ arn }) => arn), ...(this.#identities.get(thing) ?? [])] };
  }

  attachIdentity(thing: string, identity: string): void {
    this.#identities.set(thing, new Set(this.#identities.get(thing)).add(identity));
  }

  async createCertificate(csr: string): Promise<object> {
    const pem = await certifyRequest(this.#issuer, csr);
    if (pem === null) throw new AwsFault(400, 'InvalidRequestException', 'the request');
    // Another one each time that it is asked.
    const id = createHash('sha256').update(pem).update(randomUUID()).digest('hex');
    const arn = `${ARN_PREFIX}cert/${id}`;
    const made = { id, arn, pem, createdAt: Date.now(), policies: new Set<string>(), things: new Set<string>() };
    this.certificates.set(id, { ...made, status: 'INACTIVE' });
    return { certificateId: id, certificateArn: arn, certificatePem: pem };
  }

  describeCertificate(id: string): object {
    const { arn, pem, status, createdAt } = found(this.certificates.get(id), 'certificate');
    const description = { certificateId: id, certificateArn: arn, certificatePem: pem, status };
    return { certificateDescription: { ...description, creationDate: createdAt / 1000 } };
  }

  /** @param pageSize the real one gives 250 at most */
  listCertificates(marker: string | null, pageSize: number): object {
    const all = [...this.certificates.values()].toReversed();
    const from = Number(marker ?? 0);
    const page = all.slice(from, from + pageSize);
    const certificates = page.map(({ id, arn, status, createdAt }) => ({
      certificateId: id,
      certificateArn: arn,
      status,
      creationDate: createdAt / 1000,
    }));
    const next = from + page.length;
    return { certificates, ...(next < all.length && { nextMarker: String(next) }) };
  }

  updateCertificate(id: string, status: string): object {
    if (status !== 'ACTIVE' && status !== 'INACTIVE') throw new AwsFault(400, 'InvalidRequestException');
    found(this.certificates.get(id), 'certificate').status = status;
    return {};
  }

  deleteCertificate(id: string, force: boolean): object {
    const certificate = found(this.certificates.get(id), 'certificate');
    if (certificate.status === 'ACTIVE') throw new AwsFault(406, 'CertificateStateException', 'active');
    if (certificate.things.size > 0) throw new AwsFault(409, 'DeleteConflictException', 'attached to a thing');
    if (certificate.policies.size > 0 && !force) throw new AwsFault(409, 'DeleteConflictException', 'has policies');
    this.certificates.delete(id);
    return {};
  }

  attachPolicy(policy: string, target: string): object {
    found(this.policies.get(policy), 'policy');
    this.#byArn(target).policies.add(policy);
    return {};
  }

  detachPolicy(policy: string, target: string): object {
    this.#byArn(target).policies.delete(policy);
    return {};
  }

  attachThing(thing: string, arn: string): object {
    found(this.things.get(thing), 'thing');
    this.#byArn(arn).things.add(thing);
    return {};
  }

  detachThing(thing: string, arn: string): object {
    if (this.#identities.get(thing)?.delete(arn) === true) return {};
    found(this.things.get(thing), 'thing');
    const certificate = this.#byArn(arn);
    const key = `${thing} ${arn}`;
    if (this.lateDetach && !this.#detaching.has(key)) this.#detaching.add(key);
    else certificate.things.delete(thing);
    return {};
  }

  #principals(thing: string): FakeCertificate[] {
    return [...this.certificates.values()].filter(({ things }) => things.has(thing));
  }

  #byArn(arn: string): FakeCertificate {
    return found(this.certificates.get(arn.replace(`${ARN_PREFIX}cert/`, '')), 'certificate');
  }
}

/** 2,048 characters, white space not counted. */
function requirePolicy(document: string): void {
  if (document.replaceAll(/\s/g, '').length > 2_048) throw new AwsFault(400, 'MalformedPolicyException');
}

/** A thing without a type has three attributes at most, of these characters. */
function requireAttributes(attributes: Record<string, string>): void {
  const fits = Object.values(attributes).every((value) => /^[a-zA-Z0-9_.,@/:#-]{0,800}$/.test(value));
  if (!fits || Object.keys(attributes).length > 3) throw new AwsFault(400, 'InvalidRequestException');
}
