import { Command, CommanderError } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import type { Shown } from './cli-gpio.ts';
import type { Finding } from './finding.ts';
import type { EnrolmentState } from './inspect.ts';
import type { RunningAgent } from './main.ts';
import type { OwnRelease } from './own-release.ts';
import type { EndWord } from './past/runs.ts';

/** Documented in `--help`; scripts rely on them. */
const EXIT = { ok: 0, failed: 1, usage: 2, retired: 3, crashed: 70 } as const;

/** Mistakes of the person who calls or configures, whatever part found them. */
const USAGE_CODES = /^(config_(?!exists)|schedule_invalid|device_id_|claim_malformed|root_invalid)/;

/** The supervisor gets an answer within this time, whatever still hangs. */
const STOP_WITHIN_MS = 5_000;

const EXIT_HELP = `
Exit codes:
  0   all is well
  1   it failed; the message and its code say why
  2   the command line or the configuration is wrong
  3   the cloud has retired this device for good: do not start the agent again
  70  the agent broke; the log holds the stack`;

const example = (...lines: string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n${EXIT_HELP}`;

interface Common {
  readonly config: string;
  readonly json?: boolean;
}

/** Runs one command line. Sets the process's exit code and never throws. */
export async function runCli(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync([...args], { from: 'user' });
  } catch (cause) {
    fail(cause, args.includes('--json'));
  }
}

function program(): Command {
  const cli = new Command('paddock-agent')
    .description('Reports the state of this kiosk to its cloud, signed.')
    .version(manifest.version)
    .exitOverride()
    .addHelpText('after', example('paddock-agent init --claim claim.jwt', 'paddock-agent doctor', 'paddock-agent run'));
  const command: AddCommand = (name, description, ...examples) =>
    cli
      .command(name)
      .description(description)
      .option('-c, --config <file>', 'the configuration', 'agent.yaml')
      .option('--json', 'for machines: JSON on standard output')
      .exitOverride()
      .addHelpText('after', example(...examples));
  command(
    'init',
    'Make the configuration and the identity key, and say how to register.',
    'paddock-agent init --claim claim.jwt',
    'paddock-agent init --device kiosk-0001 --url mqtt://cloud.example:1883',
    'paddock-agent init --cloud-keys keys.json',
  )
    .option('--device <id>', 'the id that this device gets at registration')
    .option(
      '--claim <file>',
      'a claim from the factory: the device enrols by itself, and needs no --device and no --url',
    )
    .option('--url <url>', 'the broker (default: mqtt://127.0.0.1:1883)')
    .option('--cloud-keys <file>', "the cloud's public keys (a JWK Set), to be pinned")
    .option('--data-dir <dir>', 'where the agent keeps what it knows (default: state beside the configuration)')
    .option('--force', 'write the configuration again; a key is never written again')
    .action(init);
  command(
    'run',
    'Run until SIGTERM or SIGINT. Logs are JSON lines on standard error.',
    'paddock-agent run --config /etc/paddock/agent.yaml',
  ).action(run);
  command(
    'state',
    'Read the sensors for a while and show what would be reported. Sends nothing.',
    'paddock-agent state',
    'paddock-agent state --seconds 10 --json',
  )
    .option('--seconds <n>', 'how long to read', seconds, 3)
    .action(state);
  command(
    'doctor',
    'Check every port, pattern, key and connection, with advice.',
    'paddock-agent doctor',
    'paddock-agent doctor --seconds 30 --json',
  )
    .option('--seconds <n>', 'how long to listen to the ports', seconds, 5)
    .action(doctor);
  addInventory(command);
  addRotateKey(command);
  addLock(command);
  addHardware(command);
  return cli;
}

function seconds(text: string): number {
  const value = Number(text);
  if (text !== '' && value >= 0 && value <= 3600) return value;
  throw new CommanderError(EXIT.usage, 'usage', `--seconds takes a number from 0 to 3600, not ${text}`);
}

async function init(
  options: Common & {
    device?: string;
    url?: string;
    claim?: string;
    cloudKeys?: string;
    dataDir?: string;
    force?: boolean;
  },
): Promise<void> {
  const [{ setUp }, { keyPlace }] = await Promise.all([import('./setup.ts'), import('./identity-key.ts')]);
  const { config, key, madeConfig, madeKey } = await setUp({ ...options, force: options.force ?? false });
  const { jwk, thumbprint } = key.public;
  const enrols = config.cloud.claim !== undefined || config.cloud.enrol !== undefined;
  const register = `paddock devices register ${config.device} --public-key '${JSON.stringify(jwk)}' --cloud-keys-out cloud-keys.json`;
  const facts = {
    device: config.device ?? null,
    config: config.file,
    keyFile: config.key.file ?? null,
    keyPlace: keyPlace(config),
    publicKey: jwk,
    fingerprint: thumbprint,
    ...(enrols ? {} : { cloudKeys: config.cloud.keys, register }),
    madeConfig,
    madeKey,
  };
  print(options, facts, [
    `${madeConfig ? 'Made' : 'Kept'} ${config.file}`,
    `${madeKey ? 'Made' : 'Kept'} the identity key: ${keyPlace(config)} (it never leaves)`,
    '',
    `device       ${config.device ?? 'gets its id from the cloud'}`,
    `fingerprint  ${thumbprint}`,
    `public key   ${JSON.stringify(jwk)}`,
    '',
    ...(enrols
      ? ['It enrols by itself: paddock-agent run']
      : [
          'Register it with the cloud:',
          `  ${register}`,
          `and bring the cloud keys that this writes to ${config.cloud.keys}`,
        ]),
  ]);
}

async function run(options: Common): Promise<void> {
  const [{ loadConfig }, { runAgent }, { createAgentLog }, { linePrefix }, { serveAs, ownReleaseOf }] =
    await Promise.all([
      import('./config.ts'),
      import('./main.ts'),
      import('./adapters/agent-log.ts'),
      import('./adapters/journal.ts'),
      import('./service.ts'),
    ]);
  const config = await loadConfig(options.config);
  const base = config.device === undefined ? {} : { device: config.device };
  const log = createAgentLog(config.log.level, base, linePrefix(process.env['JOURNAL_STREAM']));
  let hearBreak = (_error: unknown): void => {};
  const crash = (error: unknown): void => {
    hearBreak(error);
    log.fatal({ err: error, code: 'crashed' }, 'The agent broke');
    process.exit(EXIT.crashed);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  const ownRelease = ownReleaseOf(process.env);
  const agent = await runAgent(config, log, process.argv[1] ?? '', {
    ownRelease,
    say: (what, message) => print(options, { enrolment: what, message }, [message]),
    setLogLevel: (level) => void (log.level = level ?? config.log.level),
    onBreak: (hear) => void (hearBreak = hear),
    atExit: (work) => void process.once('exit', work),
  });
  if (options.json) print(options, { running: true, device: agent.device() }, []);
  const service = await serveAs(process.env, agent, log);
  stopOnSignal(agent, ownRelease, (fields, message) => {
    service.stopping();
    log.info(fields, message);
  });
}

/** The first signal stops the agent, the second one the process. An agent that ends by itself leaves word of the reason. */
function stopOnSignal(
  agent: RunningAgent,
  ownRelease: OwnRelease | null,
  tell: (fields: object, message: string) => void,
): void {
  let [stopping, signals] = [false, 0];
  const stop = (why: object, code: number, word?: EndWord): void => {
    if (stopping) return;
    stopping = true;
    tell(why, 'The agent stops');
    setTimeout(() => process.exit(EXIT.failed), STOP_WITHIN_MS).unref();
    // What is left open, such as a port that does not close, must not keep the process.
    void agent.stop(word).then(() => process.exit(code));
  };
  const hear = (signal: string): void => {
    signals += 1;
    if (signals > 1) process.exit(EXIT.failed);
    stop({ signal }, EXIT.ok);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, hear);
  void ownRelease?.over.then((release) =>
    stop({ code: 'agent_replaced', release }, EXIT.ok, { how: 'update', detail: release }),
  );
  void agent.retired.then(() =>
    stop({ code: 'enrolment_retired' }, EXIT.retired, { how: 'command', detail: 'retired' }),
  );
}

async function state(options: Common & { seconds: number }): Promise<void> {
  const [{ loadConfig }, { inspect }] = await Promise.all([import('./config.ts'), import('./inspect.ts')]);
  const config = await loadConfig(options.config);
  const inspection = await inspect(config, options.seconds * 1000);
  const { report, ports, identity, keyPlace, enrolment, eventsWaiting } = inspection;
  const reading = Object.entries(report.readings).map(([name, { value, unit = '', quality = 'good', reason = '' }]) =>
    `  ${name.padEnd(24)} ${String(value)} ${unit} ${quality === 'good' ? '' : `${quality}: ${reason}`}`.trimEnd(),
  );
  print(options, inspection, [
    `device       ${report.device}`,
    `identity     ${identity ? `incarnation ${identity.incarnation}, start ${identity.start}` : 'none yet: the agent has never run'}`,
    `key          ${keyPlace}`,
    ...(enrolment === null ? [] : [`enrolment    ${enrolmentText(enrolment)}`]),
    `outbox       ${report.outbox?.waiting ?? 0} reports on the disk wait for an answer, ${eventsWaiting} of events`,
    `boot         ${report.boot.id}, up ${Math.round(report.uptimeMs / 1000)} s`,
    'ports',
    ...ports.map(
      ({ name, state: is, detail, samples }) =>
        `  ${name.padEnd(24)} ${is}, ${samples} samples${detail === null ? '' : `: ${detail}`}`,
    ),
    'readings',
    ...reading,
  ]);
}

function enrolmentText({ retired, keyListVersion, certificate }: EnrolmentState): string {
  if (retired) return 'the cloud has retired this device';
  const until = certificate === null ? 'no certificate yet' : `certificate until ${certificate.notAfter}`;
  return `${until}, list of keys ${keyListVersion}`;
}

type AddCommand = (name: string, description: string, ...examples: string[]) => Command;

function addInventory(command: AddCommand): void {
  command(
    'inventory',
    'Look at the machine and show what it is made of, as the inventory says it. Sends nothing.',
    'paddock-agent inventory',
    'paddock-agent inventory --json',
  ).action(inventory);
}

async function inventory(options: Common): Promise<void> {
  const [{ findMachine }, { buildInventory, inventoryLines }] = await Promise.all([
    import('./adapters/machine-facts.ts'),
    import('./inventory/build.ts'),
  ]);
  const findings = await findMachine();
  const { components, unseen } = buildInventory(findings);
  const notes = findings.notes.map((note) => `could not be looked for: ${note}`);
  print(options, { components, unseen, notes: findings.notes }, [...inventoryLines(components), ...notes]);
}

function addRotateKey(command: AddCommand): void {
  command(
    'rotate-key',
    'Have the agent change its identity key. The id and the history stay.',
    'paddock-agent rotate-key',
    'paddock-agent rotate-key --discard',
  )
    .option(
      '--discard',
      'throw the old key away now, as one that was revoked or stolen; an operator lets the new one in',
    )
    .action(rotateKey);
}

async function rotateKey(options: Common & { discard?: boolean }): Promise<void> {
  const [{ loadConfig }, { askForNewKey, discardKey }] = await Promise.all([
    import('./config.ts'),
    import('./rotate-key.ts'),
  ]);
  const config = await loadConfig(options.config);
  if (options.discard !== true) {
    await askForNewKey(config);
    const told =
      'The agent changes its key when the cloud has every report: at once where it runs, or at its next start.';
    return print(options, { wanted: true }, [told]);
  }
  const fingerprint = await discardKey(config);
  print(options, { discarded: true, fingerprint }, [
    'The old key is gone. Start the agent, and let an operator approve the new one:',
    `fingerprint  ${fingerprint}`,
  ]);
}

/** Each says who it is, so that nobody lets go what another one holds. */
function addLock(command: AddCommand): void {
  command(
    'lock <take|release|show>',
    'Keep updates from changing what the kiosk runs while somebody uses it.',
    'paddock-agent lock take --owner payment --reason "a customer pays" --minutes 10',
    'paddock-agent lock release --owner payment',
    'paddock-agent lock show --json',
  )
    .option('--owner <name>', 'who holds it')
    .option('--reason <text>', 'why, for people')
    .option('--minutes <n>', 'for how long, up to 240; take it again to hold it longer', minutes, 10)
    .action(lock);
}

function minutes(text: string): number {
  const value = Number(text);
  if (text !== '' && value > 0 && value <= 240) return value;
  throw new CommanderError(EXIT.usage, 'usage', `--minutes takes a number up to 240, not ${text}`);
}

function addHardware(command: AddCommand): void {
  command(
    'gpio',
    'Show the GPIO chips of this machine, their lines, and who has them. Changes nothing.',
    'paddock-agent gpio',
    'paddock-agent gpio --json',
  ).action(async (options: Common) => show(options, await (await import('./cli-gpio.ts')).showChips()));
  command(
    'outputs <safe>',
    'Make every output safe while no agent runs, such as after a crash (ExecStopPost of the unit).',
    'paddock-agent outputs safe --config /etc/paddock/agent.yaml',
  ).action(outputs);
}

async function outputs(what: string, options: Common): Promise<void> {
  if (what !== 'safe') throw new CommanderError(EXIT.usage, 'usage', `outputs takes safe, not ${what}`);
  const [{ loadConfig }, { safeOutputs }] = await Promise.all([import('./config.ts'), import('./cli-gpio.ts')]);
  show(options, await safeOutputs(await loadConfig(options.config)));
}

function show(options: Common, { value, lines, ok }: Shown): void {
  print(options, value, lines);
  process.exitCode = ok ? EXIT.ok : EXIT.failed;
}

type LockOptions = Common & { owner?: string; reason?: string; minutes: number };

async function lock(what: string, options: LockOptions): Promise<void> {
  if (!['take', 'release', 'show'].includes(what))
    throw new CommanderError(EXIT.usage, 'usage', `take, release or show, not ${what}`);
  const { owner = '', reason = '' } = options;
  if (what !== 'show' && owner === '') throw new CommanderError(EXIT.usage, 'usage', `${what} takes an --owner`);
  if (what === 'take' && reason === '') throw new CommanderError(EXIT.usage, 'usage', 'take takes a --reason');
  const [{ loadConfig }, { updateLockOf }] = await Promise.all([import('./config.ts'), import('./update-lock.ts')]);
  const { lock: held, clock } = await updateLockOf(await loadConfig(options.config));
  if (what === 'take') await held.take(owner, reason, options.minutes * 60_000);
  if (what === 'release') await held.release(owner);
  const holder = await held.holder();
  const shown = holder && {
    owner: holder.owner,
    reason: holder.reason,
    leftMs: Math.round(holder.until - clock.monotonic()),
  };
  print(options, { holder: shown }, [
    shown === null
      ? 'Nobody holds the update lock.'
      : `${shown.owner} holds the update lock for another ${Math.ceil(shown.leftMs / 1000)} s: ${shown.reason}`,
  ]);
}

async function doctor(options: Common & { seconds: number }): Promise<void> {
  const [{ loadConfig }, { examine }] = await Promise.all([import('./config.ts'), import('./doctor.ts')]);
  const findings = await examine(await loadConfig(options.config), options.seconds * 1000);
  const bad = findings.filter(({ status }) => status === 'fail').length;
  const line = ({ status, check, message }: Finding): string => `${status.padEnd(5)} ${check}: ${message}`;
  print(options, { ok: bad === 0, findings }, [
    ...findings.map(line),
    bad === 0 ? 'All is well.' : `${bad} of ${findings.length} checks failed.`,
  ]);
  process.exitCode = bad === 0 ? EXIT.ok : EXIT.failed;
}

function print({ json }: Pick<Common, 'json'>, value: object, lines: readonly string[]): void {
  process.stdout.write(`${json ? JSON.stringify(value) : lines.join('\n')}\n`);
}

/** One line for people, or one object for machines; the code is the same. */
function fail(cause: unknown, json: boolean): void {
  if (cause instanceof CommanderError && cause.exitCode === EXIT.ok) return;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unexpected';
  const message = cause instanceof Error ? cause.message : String(cause);
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else if (!(cause instanceof CommanderError)) process.stderr.write(`${message}\n(${code})\n`);
  else if (code === 'usage') process.stderr.write(`error: ${message}\n`);
  process.exitCode = cause instanceof CommanderError || USAGE_CODES.test(code) ? EXIT.usage : EXIT.failed;
}
