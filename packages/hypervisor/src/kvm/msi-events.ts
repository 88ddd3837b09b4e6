import { array, atomic, i32, SharedMutex, struct, u32 } from '@tsvmm/struct';
import { HypervisorError } from '../errors.ts';
import type { MsiEvents } from '../vm.ts';
import type { GsiRoutes } from './gsi-routes.ts';
import { callStructure, KvmError, type NativeVm } from './native.ts';

/** KVM_IRQFD_FLAG_DEASSIGN */
export const IRQFD_DEASSIGN = 1;

/** Most eventfds: the queues of more devices than a bus has room for. */
const CAPACITY = 2048;

const layout = struct(
  {
    lock: atomic(i32),
    count: u32,
    /** Numbers of the eventfds, the GSI of each, and whether it signals that now. */
    event: array(i32, CAPACITY),
    gsi: array(u32, CAPACITY),
    isConnected: array(u32, CAPACITY),
  },
  { name: 'kvm-msi-events', version: 1 },
);

/** irqfds whose GSIs are messages; all threads share which there are. */
export class KvmMsiEvents implements MsiEvents {
  /** What other threads attach to. */
  readonly state: SharedArrayBuffer;
  readonly #vm: NativeVm;
  readonly #routes: GsiRoutes;
  readonly #table: ReturnType<typeof layout.attach>;
  readonly #mutex: SharedMutex;

  constructor(vm: NativeVm, routes: GsiRoutes, state = new SharedArrayBuffer(layout.size)) {
    this.state = state;
    this.#vm = vm;
    this.#routes = routes;
    this.#table = layout.attach(state);
    this.#mutex = new SharedMutex(this.#table.lock);
  }

  connect(event: number, addressLow: number, addressHigh: number, data: number, deviceId = 0): boolean {
    this.#mutex.lock();
    try {
      const { gsi, isConnected } = this.#table;
      const known = this.#indexOf(event);
      try {
        const index = known < 0 ? this.#add(event, [addressLow, addressHigh, data, deviceId]) : known;
        const route = gsi[index] ?? 0;
        this.#routes.setMessage({ gsi: route, kind: 'msi', addressLow, addressHigh, data, deviceId });
        if (isConnected[index] === 0) irqFd(this.#vm, event, route, 0, 0);
        isConnected[index] = 1;
        return true;
      } catch (error) {
        this.#disconnect(known);
        // The guest chose the address, which may make no sense, and how many vectors it uses.
        if (error instanceof HypervisorError && error.code === 'NO_RESOURCES') return false;
        if (error instanceof KvmError && error.code !== 'INVALID_STATE') return false;
        throw error;
      }
    } finally {
      this.#mutex.unlock();
    }
  }

  disconnect(event: number): void {
    this.#mutex.lock();
    try {
      this.#disconnect(this.#indexOf(event));
    } finally {
      this.#mutex.unlock();
    }
  }

  /** It keeps its GSI, to be connected again. */
  #disconnect(index: number): void {
    const { event, gsi, isConnected } = this.#table;
    if (isConnected[index] !== 1) return;
    irqFd(this.#vm, event[index] ?? -1, gsi[index] ?? 0, IRQFD_DEASSIGN, 0);
    isConnected[index] = 0;
  }

  #indexOf(wanted: number): number {
    const { count, event } = this.#table;
    for (let index = 0; index < count; index++) if (event[index] === wanted) return index;
    return -1;
  }

  #add(event: number, message: Parameters<GsiRoutes['addMessage']>): number {
    const index = this.#table.count;
    if (index === CAPACITY) {
      throw new HypervisorError('NO_RESOURCES', `no more than ${CAPACITY} eventfds can send MSIs`);
    }
    this.#table.gsi[index] = this.#routes.addMessage(...message);
    this.#table.event[index] = event;
    this.#table.count = index + 1;
    return index;
  }
}

/** KVM_IRQFD (`struct kvm_irqfd`). */
export function irqFd(vm: NativeVm, event: number, gsi: number, flags: number, resample: number): void {
  const structure = new Uint32Array(8);
  structure.set([event, gsi, flags, resample]);
  callStructure(vm, 'KVM_IRQFD', new Uint8Array(structure.buffer));
}
