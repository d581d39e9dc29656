import { describe, expect, it } from 'vitest';
import {
  ABANDONED_AFTER_MS,
  CERTIFICATE_STEPS,
  choresOf,
  isUnderWay,
  nextStep,
  SWEPT_AFTER_MS,
  THING_STEPS,
  type Certificate,
  type CertificateStep,
  type Review,
  type Thing,
  type Untidy,
} from '@paddock/cloud/aws/progress.ts';

const NOW = 1_800_000_000_000;
const READY: Thing = { step: 'grouped', attributes: { model: 'a' } };
const WANTED = { keyDigest: 'mine', attributes: { model: 'a' }, askedSince: NOW - 1000 };

const certificate = (step: CertificateStep, fields: Partial<Certificate> = {}): Certificate => ({
  requestId: 1,
  keyDigest: 'mine',
  step,
  id: step === 'requested' || step === 'lost' ? null : 'id',
  arn: null,
  pem: null,
  askedAt: NOW,
  changedAt: NOW,
  ...fields,
});

describe('the next step towards a certificate', () => {
  it('is the thing, then its group, then the certificate', () => {
    expect(nextStep({ ...READY, step: 'wanted' }, [], WANTED).do).toBe('makeThing');
    expect(nextStep({ ...READY, attributes: {} }, [], WANTED).do).toBe('makeThing');
    expect(nextStep({ ...READY, step: 'made' }, [], WANTED).do).toBe('joinGroup');
    expect(nextStep(READY, [], WANTED).do).toBe('request');
  });

  it.each([
    ['requested', 'find'],
    ['created', 'permit'],
    ['permitted', 'attach'],
    ['attached', 'activate'],
    ['active', 'done'],
    ['lost', 'request'],
    ['leaving', 'request'],
  ] as const)('from a certificate that is %s is: %s', (step, next) => {
    expect(nextStep(READY, [certificate(step)], WANTED).do).toBe(next);
  });

  it.each(CERTIFICATE_STEPS)('of a certificate that is %s for another key never uses that one', (step) => {
    const next = nextStep(READY, [certificate(step, { keyDigest: 'old' })], WANTED);
    expect(next.do).toBe(isUnderWay(step) ? 'abandon' : 'request');
  });

  it('is another certificate when the active one is due', () => {
    expect(nextStep(READY, [certificate('active', { askedAt: NOW - 1001 })], WANTED).do).toBe('request');
  });

  it('is there in every state that there can be', () => {
    for (const step of THING_STEPS)
      for (const one of CERTIFICATE_STEPS)
        for (const other of CERTIFICATE_STEPS)
          expect(nextStep({ ...READY, step }, [certificate(one), certificate(other)], WANTED).do).toBeTypeOf('string');
  });
});

describe('cleaning up', () => {
  const chores = (
    certificates: readonly Certificate[],
    standing: Untidy['standing'] = 'good',
    review: Review = standing === 'good' ? 'none' : 'done',
  ) => choresOf({ certificates, standing, review, now: NOW }).map((chore) => chore.do);

  it('takes away what leaves, and leaves what is used', () => {
    expect(chores([certificate('leaving'), certificate('active')])).toEqual(['remove']);
    expect(chores([certificate('active')])).toEqual([]);
    expect(chores([certificate('attached')])).toEqual([]);
  });

  it('gives up what has stood still for long', () => {
    const changedAt = NOW - ABANDONED_AFTER_MS;
    expect(chores([certificate('attached', { changedAt }), certificate('active', { changedAt })])).toEqual(['abandon']);
    expect(chores([certificate('requested', { changedAt: changedAt + 1 })])).toEqual([]);
  });

  it('looks for what was lost when it must have appeared', () => {
    expect(chores([certificate('lost', { askedAt: NOW - SWEPT_AFTER_MS })])).toEqual(['sweep']);
    expect(chores([certificate('lost', { askedAt: NOW - SWEPT_AFTER_MS + 1 })], 'retired')).toEqual([]);
  });

  it('takes every certificate from who is barred, and the thing from who is retired when none is left', () => {
    expect(chores([certificate('active')], 'barred')).toEqual(['abandon']);
    expect(chores([], 'barred')).toEqual([]);
    expect(chores([certificate('active'), certificate('leaving')], 'retired')).toEqual(['abandon', 'remove']);
    expect(chores([], 'retired')).toEqual(['deleteThing']);
    expect(chores([], 'retired', 'gone')).toEqual([]);
  });

  it('looks for what is on no record when that is wanted, and once who is barred or retired has lost what is', () => {
    const lost = certificate('lost');
    expect(chores([certificate('active')], 'good', 'wanted')).toEqual(['review']);
    expect(chores([certificate('leaving')], 'good', 'wanted')).toEqual(['remove']);
    expect(chores([], 'barred', 'none')).toEqual(['review']);
    expect(chores([lost], 'retired', 'none')).toEqual(['review']);
    expect(chores([certificate('active')], 'retired', 'none')).toEqual(['abandon']);
    expect(choresOf({ certificates: [], standing: 'barred', review: 'none', now: NOW })).toEqual([
      { do: 'review', becomes: 'done' },
    ]);
  });
});
