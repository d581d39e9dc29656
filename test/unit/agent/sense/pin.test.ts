import type { Edge } from '@paddock/agent/ports-gpio.ts';
import {
  asked,
  missedBetween,
  takeEdges,
  takeLevel,
  takeSettled,
  UNSEEN_PIN,
  type PinKind,
  type PinState,
} from '@paddock/agent/sense/pin.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { at } from '../../../harness/agent/sense.ts';

const CONTACT: PinKind = { counts: null, filtered: false };
const COUNTER: PinKind = { counts: 'rising', filtered: false };
const edge = (sequence: number, level: boolean, ms: number): Edge => ({ sequence, level, at: at(ms) });
const sample = (value: boolean | number, ms: number) => ({ kind: 'sample', value, at: ms });
const gap = (ms: number) => ({ kind: 'gap', at: ms });
const closed = (ms: number): PinState => takeLevel(CONTACT, UNSEEN_PIN, false, at(ms), true).state;

describe('a contact', () => {
  it('tells each edge at the moment of the kernel, in whole milliseconds', () => {
    const { tellings } = takeEdges(CONTACT, closed(5), [edge(1, true, 10.9), edge(2, false, 12.1)]);
    expect(tellings).toEqual([sample(true, 10), sample(false, 12)]);
  });

  it('says that edges were lost, and how many, when their numbers leave some out', () => {
    const { state, tellings } = takeEdges(CONTACT, closed(5), [edge(1, true, 10), edge(8, false, 90)]);
    expect(tellings).toEqual([sample(true, 10), gap(90), sample(false, 90)]);
    expect(state.lost).toBe(6);
  });

  it('knows that it went to and fro when the same level comes twice', () => {
    const { tellings } = takeEdges(CONTACT, closed(5), [edge(1, true, 10), edge(2, true, 11)]);
    expect(tellings).toEqual([sample(true, 10), gap(11), sample(true, 11)]);
  });

  it('takes the edge for no news whose level was just looked at', () => {
    const looked = takeLevel(CONTACT, UNSEEN_PIN, true, at(10), true).state;
    expect(takeEdges(CONTACT, looked, [edge(1, true, 9.8)]).tellings).toEqual([sample(true, 9)]);
  });

  it('believes a level that contradicts its edges the second time only', () => {
    const first = takeLevel(CONTACT, closed(5), true, at(1000), true);
    expect(first.tellings).toEqual([]);
    const second = takeLevel(CONTACT, first.state, true, at(2000), true);
    expect(second.tellings).toEqual([gap(2000), sample(true, 2000)]);
    expect(takeLevel(CONTACT, second.state, true, at(3000), true).tellings).toEqual([sample(true, 3000)]);
  });

  it('forgets the contradiction when the edge comes after all', () => {
    const { state } = takeLevel(CONTACT, closed(5), true, at(1000), true);
    const came = takeEdges(CONTACT, state, [edge(1, true, 999)]);
    expect(came.tellings).toEqual([sample(true, 999)]);
    expect(takeLevel(CONTACT, came.state, true, at(2000), true).tellings).toEqual([sample(true, 2000)]);
  });

  it('believes every level at once where no edges come', () => {
    expect(takeLevel(CONTACT, closed(5), true, at(1000), false).tellings).toEqual([sample(true, 1000)]);
  });
});

describe('a counter', () => {
  it('counts by the numbers of the kernel, so that edges it threw away are counted, too', () => {
    const first = takeEdges(COUNTER, UNSEEN_PIN, [edge(1, true, 10), edge(2, true, 20)]);
    expect(first.tellings).toEqual([sample(2, 20)]);
    const later = takeEdges(COUNTER, first.state, [edge(1500, true, 900)]);
    expect(later.tellings).toEqual([sample(1500, 900)]);
    expect(later.state.lost).toBe(1497);
  });

  it('goes on counting when the line was asked for again', () => {
    const { state } = takeEdges(COUNTER, UNSEEN_PIN, [edge(1, true, 10), edge(2, true, 20)]);
    expect(takeEdges(COUNTER, asked(state), [edge(1, true, 90)]).tellings).toEqual([sample(3, 90)]);
  });

  it('is right whatever batches the edges come in, and whichever of them are lost but the last', () => {
    const batches = fc.array(fc.array(fc.boolean(), { maxLength: 30 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(batches, (kept) => {
        let [sequence, state] = [0, UNSEEN_PIN];
        for (const batch of [...kept, [true]]) {
          const edges = batch.map((isKept) => ({ isKept, edge: edge((sequence += 1), true, sequence) }));
          state = takeEdges(
            COUNTER,
            state,
            edges.filter(({ isKept }) => isKept).map((one) => one.edge),
          ).state;
        }
        expect(state.count).toBe(sequence);
        expect(state.lost).toBe(kept.flat().filter((isKept) => !isKept).length);
      }),
    );
  });

  it('counts settled edges where the debouncing is ours, and cannot know those that were thrown away', () => {
    const kind: PinKind = { counts: 'falling', filtered: true };
    const raw = takeEdges(kind, UNSEEN_PIN, [edge(1, true, 10), edge(5, false, 20)]);
    expect(raw.tellings).toEqual([gap(20)]);
    const up = takeSettled(kind, raw.state, edge(1, true, 10));
    expect(up.tellings).toEqual([]);
    expect(takeSettled(kind, up.state, edge(5, false, 20)).tellings).toEqual([sample(1, 20)]);
  });
});

it('numbers of 32 bits begin anew, over weeks of a fast line', () => {
  expect(missedBetween(0xffff_ffff, 0)).toBe(0);
  expect(missedBetween(0xffff_fffe, 3)).toBe(4);
  expect(missedBetween(0, 1)).toBe(0);
});
