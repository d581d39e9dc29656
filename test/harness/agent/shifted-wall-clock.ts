/**
 * Loaded into an agent before its program: a wall clock that is wrong, and goes on. The kernel's monotonic clock, which
 * is all that time is measured with, stays as it is.
 */
const shiftMs = Number(process.env.WALL_CLOCK_SHIFT_MS);
const RealDate = Date;
const now = (): number => RealDate.now() + shiftMs;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: unknown[], made) =>
    Reflect.construct(target, given.length === 0 ? [now()] : given, made) as object,
  get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown)),
});
