/** What follows from a failure, by its code. */
export type Disposition =
  | 'wait' // it is nobody's fault and will pass: looked at again soon
  | 'again' // the network or a server: tried again with growing pauses, where it stopped
  | 'whole' // what runs is damaged: everything is fetched
  | 'final' // it follows from the release itself: only other desired state changes it
  | 'later'; // everything else: failed, and begun anew with long pauses

/** For the first exchange, for the list of keys that names the first root, and for what an agent before began. */
const WAITS = new Set(['tuf_time_unknown', 'tuf_root_missing', 'install_rauc_busy']);
const FINAL = new Set([
  'update_mismatch',
  'update_model_wrong',
  'update_installer_wrong',
  'update_from_wrong',
  'update_counter_old',
  'update_quarantined',
  'kind_refused',
  'mode_refused',
  'link_outside',
]);
/** A manifest or an index is what its hash says: another try brings the same. */
const FINAL_KINDS = /^(manifest|index|path)_/;
const WHOLE = new Set(['update_base_damaged', 'install_object_missing']);
const NETWORK = /^(fetch|tls|certificate)_/;

export function dispositionOf(code: string): Disposition {
  if (WAITS.has(code)) return 'wait';
  if (WHOLE.has(code)) return 'whole';
  if (FINAL.has(code) || FINAL_KINDS.test(code)) return 'final';
  return NETWORK.test(code) ? 'again' : 'later';
}

export const isFinal = (code: string | undefined): boolean => code !== undefined && dispositionOf(code) === 'final';

/** What a release on trial is put away for. Anything else that goes wrong meanwhile is the device's own trouble. */
const VERDICTS = new Set(['update_process_down', 'update_sensors_bad', 'update_probe_failed', 'update_hook_failed']);

export const isVerdict = (code: string): boolean => VERDICTS.has(code);
