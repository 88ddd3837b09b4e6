import { PIC_PINS } from '../../pc/i8259.ts';
import { IO_APIC_PINS } from '../../pc/io-apic.ts';
import type { KernelDevices, KvmState } from '../architecture.ts';
import type { GsiRoute } from '../gsi-routes.ts';
import { callStructure, type NativeVm } from '../native.ts';
import { partOf, restorePart, type StatePart, savePart } from '../saved-state.ts';
import { restoreClock, saveClock } from './clock.ts';

/** KVM_IRQCHIP_* */
const PIC_MASTER = 0;
const PIC_SLAVE = 1;
const IOAPIC = 2;

/** `struct kvm_irqchip`: the chip's number, then its registers. */
const IRQCHIP_SIZE = 520;
const CHIPS = { firstPic: PIC_MASTER, secondPic: PIC_SLAVE, ioApic: IOAPIC } as const;

const TIMER: StatePart = { get: 'KVM_GET_PIT2', set: 'KVM_SET_PIT2', size: 112 };

/** The routes that KVM_CREATE_IRQCHIP makes: each interrupt goes to the 8259 that has it, and to the I/O APIC. */
function defaultRoutes(): readonly GsiRoute[] {
  const routes: GsiRoute[] = [];
  for (let gsi = 0; gsi < IO_APIC_PINS; gsi++) {
    // Input 2 of the first 8259 is the second one.
    if (gsi < PIC_PINS && gsi !== 2) {
      routes.push({ gsi, kind: 'irqchip', chip: gsi < 8 ? PIC_MASTER : PIC_SLAVE, pin: gsi % 8 });
    }
    routes.push({ gsi, kind: 'irqchip', chip: IOAPIC, pin: gsi });
  }
  return routes;
}

/** 8259s, I/O APIC and 8254 in the kernel, and the clock that KVM shows to guests. */
export class X86KernelDevices implements KernelDevices {
  readonly platform = { architecture: 'x86_64' } as const;
  readonly lines = { first: 0, count: IO_APIC_PINS };
  readonly routes = defaultRoutes();
  readonly firstFreeGsi = IO_APIC_PINS;
  readonly hasLinePulses = true;
  readonly hasMessages = true;
  readonly #vm: NativeVm;

  constructor(vm: NativeVm) {
    this.#vm = vm;
  }

  saveState(): KvmState {
    const state: Record<string, Uint8Array> = {};
    for (const [name, chip] of Object.entries(CHIPS)) {
      const bytes = new Uint8Array(IRQCHIP_SIZE);
      bytes[0] = chip;
      callStructure(this.#vm, 'KVM_GET_IRQCHIP', bytes);
      state[name] = bytes;
    }
    state.timer = savePart(this.#vm, TIMER);
    state.clock = saveClock(this.#vm);
    return state;
  }

  restoreState(state: KvmState): void {
    for (const [name, chip] of Object.entries(CHIPS)) {
      const bytes = partOf(state, name, IRQCHIP_SIZE).slice();
      bytes[0] = chip;
      callStructure(this.#vm, 'KVM_SET_IRQCHIP', bytes);
    }
    restorePart(this.#vm, 'timer', TIMER, state);
    restoreClock(this.#vm, state);
  }

  [Symbol.dispose](): void {}
}
