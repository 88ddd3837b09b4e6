import type { EventFd } from '@tsvmm/base';
import { HypervisorError } from '../../../errors.ts';
import { IO_APIC_PINS } from '../../../pc/io-apic.ts';
import type { KernelDevices, KvmState } from '../../architecture.ts';
import type { GsiRoute } from '../../gsi-routes.ts';
import type { NativeVm } from '../../native.ts';
import { partOf } from '../../saved-state.ts';
import { restoreClock, saveClock } from '../clock.ts';
import { SplitChips, type SplitChipsDescriptor } from './chips.ts';

/** Local APICs and clock in the kernel; 8259s and I/O APIC here, and no 8254. */
export class SplitDevices implements KernelDevices {
  readonly platform = { architecture: 'x86_64' } as const;
  readonly lines = { first: 0, count: IO_APIC_PINS };
  /** KVM makes none; those of the pins come when the guest uses them. */
  readonly routes: readonly GsiRoute[] = [];
  readonly firstFreeGsi = IO_APIC_PINS;
  readonly hasLinePulses = false;
  readonly hasMessages = true;
  readonly controllers: SplitChips;
  readonly #vm: NativeVm;

  constructor(vm: NativeVm, chips: SplitChipsDescriptor) {
    this.#vm = vm;
    this.controllers = new SplitChips(chips);
  }

  raiseUntilEnded(source: number, event: EventFd, resample: EventFd): Disposable {
    return this.controllers.raiseUntilEnded(source, event, resample);
  }

  saveState(): KvmState {
    return { chips: this.controllers.saveState(), clock: saveClock(this.#vm) };
  }

  restoreState(state: KvmState): void {
    const chips = partOf(state, 'chips');
    try {
      this.controllers.restoreState(chips);
    } catch (cause) {
      throw new HypervisorError('INVALID_ARGUMENT', 'the saved chips are not of such a machine', { cause });
    }
    restoreClock(this.#vm, state);
  }

  [Symbol.dispose](): void {
    this.controllers[Symbol.dispose]();
  }
}
