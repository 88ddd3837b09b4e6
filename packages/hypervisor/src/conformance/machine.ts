import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Hypervisor, VmOptions } from '../hypervisor.ts';
import type { VcpuStop } from '../vcpu.ts';
import type { VcpuControl, Vm } from '../vm.ts';
import type { LoggedExit } from './exit-log.ts';
import type { ConformanceEvent, ConformanceWorkerData } from './vcpu-worker.ts';

export const RAM_START = 0x8000_0000;
export const RAM_SIZE = 16 * 2 ** 20;
/** Nothing is here: loads and stores leave the vCPU. */
export const DEVICE = 0x1000_0000;
export const IMSIC = 0x0800_0000;
export const APLIC = 0x4000;
export const APLIC_SOURCE = 3;

/** A machine for bare-metal payloads, and the threads of its vCPUs. */
export class ConformanceMachine implements AsyncDisposable {
  readonly vm: Vm;
  readonly #threads: VcpuTestThread[] = [];

  private constructor(vm: Vm) {
    this.vm = vm;
  }

  static async create(hypervisor: Hypervisor, vcpuCount = 1): Promise<ConformanceMachine> {
    const options: VmOptions = {
      architecture: 'riscv64',
      ram: [{ guestAddress: RAM_START, size: RAM_SIZE }],
      vcpuCount,
      aia: { imsicAddress: IMSIC, imsicIdentities: 255, aplicAddress: APLIC, aplicSources: 8 },
    };
    return new ConformanceMachine(await hypervisor.createVm(options));
  }

  /** Writes instructions to guest memory. */
  load(words: readonly number[], address = RAM_START): void {
    this.vm.memory.copyIn(address, new Uint8Array(Int32Array.from(words).buffer));
  }

  /** Creates the next vCPU and starts its thread. */
  start(
    id: number,
    options: Partial<Pick<ConformanceWorkerData, 'registers' | 'readValue' | 'runs'>> = {},
  ): VcpuTestThread {
    const control = this.vm.createVcpu(id);
    const thread = new VcpuTestThread(control, {
      vcpu: control.descriptor,
      memory: this.vm.memory.descriptor(),
      registers: id === 0 ? { pc: BigInt(RAM_START) } : {},
      readValue: 0n,
      runs: 1,
      ...options,
    });
    this.#threads.push(thread);
    return thread;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()));
    await this.vm[Symbol.asyncDispose]();
  }
}

/** Events of a vCPU's thread, in their order. */
export class VcpuTestThread implements AsyncDisposable {
  readonly control: VcpuControl;
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #events: ConformanceEvent[] = [];
  #failure: Error | undefined;
  #wake: () => void = () => {};

  constructor(control: VcpuControl, data: ConformanceWorkerData) {
    this.control = control;
    this.#worker = new Worker(new URL(`./vcpu-worker${import.meta.url.slice(-3)}`, import.meta.url), {
      workerData: data,
      transferList: [...control.transfer],
    });
    this.#exited = once(this.#worker, 'exit').catch((error: Error) => this.#fail(error));
    this.#worker.on('message', (event: ConformanceEvent) => {
      this.#events.push(event);
      this.#wake();
    });
  }

  /** The next exit. */
  async exit(): Promise<LoggedExit> {
    const event = await this.#next();
    if (event.kind !== 'exit') {
      throw new Error(
        `the vCPU stopped (${event.stop.reason}: ${event.stop.detail}) where an exit was expected`,
      );
    }
    return event.exit;
  }

  /** The stop that comes next; the exits before it are dropped. */
  async stop(): Promise<VcpuStop & { readonly registers: Readonly<Record<string, bigint>> }> {
    for (;;) {
      const event = await this.#next();
      if (event.kind === 'stop') {
        return { ...event.stop, registers: event.registers };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.control.requestStop();
    await this.#exited;
  }

  async #next(): Promise<ConformanceEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) {
        return event;
      }
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#wake();
  }
}
