/** How a guest came to its end, as the library reports it (`VmExit.kind`). */
export type GuestEnd = 'stop' | 'reset' | 'crash' | 'panic' | 'watchdog';

/** The exit statuses of the process, with crosvm's numbers. */
export const ExitStatus = {
  success: 0,
  failure: 1,
  reset: 32,
  crash: 33,
  panic: 34,
  invalidArguments: 35,
  watchdog: 36,
} as const;

/** The exit statuses of `disk check`, with qemu-img's numbers, beside success and failure. */
export const CheckStatus = {
  corrupt: 2,
  leaks: 3,
  unsupported: 63,
} as const;

/** One line of the table that `tsvmm help exit-status` prints. */
export interface ExitStatusRow {
  readonly status: string;
  readonly meaning: string;
  /** Reported as 0 unless --extended-status is given. */
  readonly extended: boolean;
}

/** Every exit status with its meaning, in ascending order. */
export const EXIT_STATUS_TABLE: readonly ExitStatusRow[] = [
  { status: '0', meaning: 'the guest powered off, or what was asked for is done', extended: false },
  { status: '1', meaning: 'something failed; the message on standard error says what', extended: false },
  { status: '2', meaning: 'disk check: the image is corrupt', extended: false },
  { status: '3', meaning: 'disk check: the image has clusters that nobody uses', extended: false },
  { status: '32', meaning: 'the guest asked for a reset', extended: true },
  { status: '33', meaning: 'the guest crashed: a CPU or a device cannot go on', extended: true },
  { status: '34', meaning: 'the guest kernel panicked', extended: true },
  { status: '35', meaning: 'the command line is wrong', extended: false },
  { status: '36', meaning: "the guest's watchdog expired", extended: true },
  { status: '63', meaning: 'disk check: this format cannot be checked', extended: false },
  { status: '128+N', meaning: 'signal N ended it in order: 129, 130 or 143', extended: false },
];

const STATUS_OF_END: Readonly<Record<GuestEnd, number>> = {
  stop: ExitStatus.success,
  reset: ExitStatus.reset,
  crash: ExitStatus.crash,
  panic: ExitStatus.panic,
  watchdog: ExitStatus.watchdog,
};

/** The exit status for a guest that ended; all ends are a success unless `extended`, as in crosvm. */
export function statusOfEnd(end: GuestEnd, extended: boolean): number {
  return extended ? STATUS_OF_END[end] : ExitStatus.success;
}
