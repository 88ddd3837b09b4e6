import type { VcpuStop } from '../vcpu.ts';
import { Exit, RunPage, SystemEvent } from './run-page.ts';

/** KVM_INTERNAL_ERROR_* */
const INTERNAL_ERRORS = [
  'unknown',
  'emulation failed',
  'simultaneous exceptions',
  'event delivery',
  'unexpected exit',
];
const INTERNAL_DATA_MAXIMUM = 16;

/** The exits that every architecture has, other than accesses: most are reasons to stop. */
export class CommonExits {
  readonly #view: DataView;

  /** @param pages what the vCPU shares with the kernel */
  constructor(pages: ArrayBuffer) {
    this.#view = new DataView(pages);
  }

  handle(reason: number): VcpuStop | 'resume' {
    switch (reason) {
      case Exit.intr:
        return 'resume';
      case Exit.systemEvent:
        return this.#systemEvent();
      case Exit.failEntry: {
        const hardwareReason = this.#longWord(RunPage.hardwareEntryFailureReason);
        return {
          reason: 'error',
          detail: `the hardware refused to enter the guest: reason ${hardwareReason}`,
        };
      }
      case Exit.internalError:
        return this.#internalError();
      default:
        return {
          reason: 'error',
          detail: `KVM left the guest for a reason this program does not know: ${reason}`,
        };
    }
  }

  #systemEvent(): VcpuStop {
    const type = this.#view.getUint32(RunPage.systemEventType, true);
    switch (type) {
      case SystemEvent.shutdown:
        return { reason: 'shutdown', detail: 'the guest turned the machine off' };
      case SystemEvent.reset:
        return { reason: 'reset', detail: 'the guest asked for a reset' };
      case SystemEvent.crash:
        return { reason: 'crash', detail: 'the guest reported that it crashed' };
      default:
        return {
          reason: 'error',
          detail: `KVM reported system event ${type}, which this program does not know`,
        };
    }
  }

  #internalError(): VcpuStop {
    const suberror = this.#view.getUint32(RunPage.internalSuberror, true);
    const count = Math.min(this.#view.getUint32(RunPage.internalDataCount, true), INTERNAL_DATA_MAXIMUM);
    const data = Array.from({ length: count }, (_, index) =>
      this.#longWord(RunPage.internalData + index * 8),
    );
    return {
      reason: 'error',
      detail:
        `KVM cannot go on: internal error ${suberror} (${INTERNAL_ERRORS[suberror] ?? 'unknown'})` +
        (count > 0 ? `, data ${data.join(' ')}` : ''),
    };
  }

  #longWord(offset: number): string {
    return `0x${this.#view.getBigUint64(offset, true).toString(16)}`;
  }
}
