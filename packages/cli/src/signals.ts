import { constants } from 'node:os';

/** The signals that ask the process to end. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

const END_SIGNALS: readonly EndSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** The reason of an abort by a signal. */
export class SignalError extends Error {
  override readonly name = 'SignalError';
  readonly code: EndSignal;

  constructor(code: EndSignal) {
    super(`ended by ${code}`);
    this.code = code;
  }
}

/** The exit status that tells of a signal, as shells have it: 128 and its number. */
export function statusOfSignal(signal: EndSignal): number {
  return 128 + constants.signals[signal];
}

/**
 * Does work that a signal to the process aborts. After a signal the result is `statusOfSignal`, whatever the work
 * then returns or throws; a second signal ends the process at once, in case the work cannot end in order.
 */
export async function withSignals(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  const onSignal = (signal: EndSignal): void => {
    if (controller.signal.aborted) process.exit(statusOfSignal(signal));
    controller.abort(new SignalError(signal));
  };
  for (const signal of END_SIGNALS) process.on(signal, onSignal);
  try {
    const status = await work(controller.signal);
    return endedBy(controller.signal) ?? status;
  } catch (error) {
    const status = endedBy(controller.signal);
    if (status !== undefined) return status;
    throw error;
  } finally {
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}

function endedBy({ aborted, reason }: AbortSignal): number | undefined {
  return aborted && reason instanceof SignalError ? statusOfSignal(reason.code) : undefined;
}
