/** What an assignment does. */
export const ASSIGNMENT_STATES = {
  active: 'It hands the release out, to no more devices at once than its cap says',
  paused: 'Somebody paused it: nothing is handed out until it is resumed',
  halted: 'It stopped by itself, and `code` says why: nothing is handed out until somebody resumes it',
  completed: 'None of its devices waits or is updating any more; how they ended is in the totals',
  cancelled: 'Somebody ended it for good',
} as const satisfies Record<string, string>;
export type AssignmentState = keyof typeof ASSIGNMENT_STATES;

/** What became of one device in an assignment. */
export const DEVICE_STATES = {
  waiting: 'Its turn has not come, or it is not online',
  updating: 'The release is in its desired state, and its reports do not show the end yet; it holds a place of the cap',
  stalled: 'It was handed the release and nothing came of it for too long; counts as a failure, and holds no place',
  updated: 'Its signed report shows that it runs the release and has committed it',
  failed:
    'Its signed report shows that it could not, or that it left the release again, and `code` why; it is updated yet if it tries again and can',
  superseded: 'A later assignment has it, or its desired state was set to something else',
  cancelled: 'The assignment was cancelled before it was updated',
  refused: 'It was not taken, and `code` says why',
} as const satisfies Record<string, string>;
export type DeviceState = keyof typeof DEVICE_STATES;

/** In these a device may still change, and no other assignment has it. */
export const OPEN_STATES: readonly DeviceState[] = ['waiting', 'updating', 'stalled'];

/** What is told of a device or an assignment besides the codes that devices report themselves. */
export const ROLLOUT_CODES = {
  model_unfit: 'The release is not made for the model of the device, or the device has no model',
  device_retired: 'The device is retired',
  device_silent: 'Nothing was heard of the device since it was handed the release',
  no_progress: 'The device reports, and its update does not move',
  release_quarantined: 'The device has tried this release before, and will not install it again',
  release_left: 'The device ran the release, and runs another one now that nobody assigned',
  desired_changed: 'Somebody set its desired state to something else',
  superseded: 'A later assignment has the device',
  too_many_failures: 'As many devices failed or stalled as the assignment allows',
  release_withdrawn: 'The release was withdrawn',
} as const satisfies Record<string, string>;
export type RolloutCode = keyof typeof ROLLOUT_CODES;
