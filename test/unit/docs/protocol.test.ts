import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Answer } from '@paddock/shared/answer.ts';
import { Began, END_REASONS, TROUBLES } from '@paddock/shared/began.ts';
import { BUNDLE_ERRORS } from '@paddock/shared/bundle-error.ts';
import { COMPONENT_KINDS, Inventory, MAX_COMPONENT_DEPTH, MAX_COMPONENTS } from '@paddock/shared/inventory.ts';
import { Crash, MAX_BREADCRUMBS, MAX_CRASH_BYTES, MAX_KERNEL_TEXT, MAX_STACK } from '@paddock/shared/crash.ts';
import { MAX_ENVELOPE_BYTES, MAX_PAYLOAD_BYTES } from '@paddock/shared/envelope.ts';
import { REFUSALS } from '@paddock/shared/errors.ts';
import { Desired, DesiredAgent, DesiredFirmware, OUTPUT_STATES, ReportedOutput } from '@paddock/shared/desired.ts';
import { ReportedFirmware, UPDATE_STATES } from '@paddock/shared/firmware.ts';
import { Manifest } from '@paddock/shared/manifest.ts';
import { Presence } from '@paddock/shared/presence.ts';
import { parseReport, QUALITY_REASONS, Report } from '@paddock/shared/report.ts';
import { BASES } from '@paddock/shared/time.ts';
import { MESSAGE_KINDS, topicOf, type MessageKind } from '@paddock/shared/topics.ts';
import { describe, expect, it } from 'vitest';
import dictionaries from '../../fixtures/vectors/dictionaries.json' with { type: 'json' };

const page = readFileSync(join(import.meta.dirname, '../../../docs/protocol.md'), 'utf8');

/** Rows of all tables, as lists of cells. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.slice(2, -2).split(' | '));
const block = (language: string): string => page.split(`\`\`\`${language}\n`)[1]?.split('\n```')[0] ?? '';

describe('docs/protocol.md', () => {
  it('lists every refusal as the code has it, and no other', () => {
    const listed = rows.filter(([, permanent]) => permanent === 'yes' || permanent === 'no');
    const known = Object.entries(REFUSALS).map(([code, { permanent, title }]) => [
      `\`${code}\``,
      permanent ? 'yes' : 'no',
      title,
    ]);
    expect(listed).toEqual(known);
  });

  it('lists every reason of a quality, and no other', () => {
    const listed = rows.filter(([, quality]) => quality === 'bad' || quality === 'suspect').map(([reason]) => reason);
    expect(listed).toEqual(QUALITY_REASONS.map((reason) => `\`${reason}\``));
  });

  it('lists every topic with its sender, retention and type', () => {
    for (const [kind, { from, retained, typ }] of Object.entries(MESSAGE_KINDS)) {
      const topic = topicOf(kind as MessageKind, '{deviceId}');
      const row = rows.find(([first]) => first === `\`${topic}\``);
      expect(row).toEqual([`\`${topic}\``, expect.stringContaining(from), retained ? 'yes' : 'no', `\`${typ}\``]);
    }
  });

  it('names every field of every message', () => {
    const messages = [
      Report,
      Answer,
      Presence,
      Inventory,
      Began,
      Crash,
      Desired,
      DesiredFirmware,
      DesiredAgent,
      Manifest,
      ReportedFirmware,
      ReportedOutput,
    ];
    const fields = messages.flatMap(({ properties }) => Object.keys(properties));
    expect(fields.filter((field) => !page.includes(`\`${field}`))).toEqual([]);
  });

  it('lists what is wrong with bundles, and the states of an update', () => {
    expect(rows).toEqual(
      expect.arrayContaining(Object.entries(BUNDLE_ERRORS).map(([code, title]) => [`\`${code}\``, title])),
    );
    const states = rows.filter(([state = '']) => Object.hasOwn(UPDATE_STATES, state.slice(1, -1)));
    expect(states).toEqual(
      expect.arrayContaining(Object.entries(UPDATE_STATES).map(([state, status]) => [`\`${state}\``, status])),
    );
  });

  it('lists the states of an output', () => {
    const known = Object.entries(OUTPUT_STATES).map(([state, text]) => [`\`${state}\``, text]);
    expect(rows).toEqual(expect.arrayContaining(known));
  });

  it('lists every reason of an end and every trouble of a machine', () => {
    const words = [...Object.entries(END_REASONS), ...Object.entries(TROUBLES)];
    expect(rows).toEqual(expect.arrayContaining(words.map(([word, text]) => [`\`${word}\``, text])));
    for (const bound of [MAX_CRASH_BYTES, MAX_KERNEL_TEXT, MAX_STACK])
      expect(page).toContain(bound.toLocaleString('en'));
    expect(page).toContain(`at most ${MAX_BREADCRUMBS}`);
  });

  it('names every kind of component, and how many there may be', () => {
    expect(COMPONENT_KINDS.filter((kind) => !page.includes(`\`${kind}\``))).toEqual([]);
    expect(page).toContain(`at most ${MAX_COMPONENTS} in all and ${MAX_COMPONENT_DEPTH} inside of each other`);
  });

  it('names every basis of a time', () => {
    expect(BASES.filter((basis) => !page.includes(`\`${basis}\``))).toEqual([]);
  });

  it('names every dictionary by its bytes and hash', () => {
    const listed = dictionaries.map(({ id, bytes, sha256 }) => [
      `\`${id}\``,
      bytes.toLocaleString('en'),
      `\`${sha256}\``,
    ]);
    expect(rows).toEqual(expect.arrayContaining(listed));
  });

  it('names the bounds', () => {
    for (const bound of [MAX_ENVELOPE_BYTES, MAX_PAYLOAD_BYTES]) expect(page).toContain(bound.toLocaleString('en'));
  });

  it('shows a report that is one', () => {
    const shown: unknown = JSON.parse(block('json'));
    expect(parseReport(shown)).toEqual(shown);
  });
});
