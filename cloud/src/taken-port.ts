import { SETTINGS, type CloudConfig, type SettingName } from './settings.ts';

export class ServeError extends Error {
  override readonly name = 'ServeError';
  readonly code = 'port_in_use';
}

/** A port that is taken is told by the variable that changes it. */
export async function named<T>(
  settings: readonly SettingName[],
  listening: Promise<T>,
  config?: CloudConfig,
): Promise<T> {
  try {
    return await listening;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE')) throw cause;
    const port = 'port' in cause ? String(cause.port) : '';
    const setting = settings.find((name) => String(config?.[name]) === port) ?? settings[0];
    const words = setting === undefined ? [] : [SETTINGS[setting].env, SETTINGS[setting].flag?.split(' ')[0]];
    throw new ServeError(
      `Port ${port} is taken: end who listens there, or choose another one with ${words.join(' or ')}`,
      {
        cause,
      },
    );
  }
}
