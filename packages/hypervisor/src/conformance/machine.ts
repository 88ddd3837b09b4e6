import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Hypervisor, VmOptions } from '../hypervisor.ts';
import type { VcpuStop } from '../vcpu.ts';
import type { VcpuControl, Vm } from '../vm.ts';
import type { LoggedExit } from './exit-log.ts';
import type { ConformanceEvent, ConformanceWorkerData } from './vcpu-worker.ts';

/** What a machine for payloads of one architecture looks like. */
export interface MachineSetup {
  readonly options: Omit<VmOptions, 'vcpuCount'>;
  /** Where code goes and vCPU 0 starts. */
  readonly codeAddress: number;
  /** Registers with which vCPU 0 starts there. */
  readonly registers: Readonly<Record<string, bigint>>;
}

/** A machine for bare-metal payloads, and the threads of its vCPUs. */
export class ConformanceMachine implements AsyncDisposable {
  readonly vm: Vm;
  readonly #setup: MachineSetup;
  readonly #threads: VcpuTestThread[] = [];

  private constructor(vm: Vm, setup: MachineSetup) {
    this.vm = vm;
    this.#setup = setup;
  }

  static async create(
    hypervisor: Hypervisor,
    setup: MachineSetup,
    vcpuCount = 1,
  ): Promise<ConformanceMachine> {
    return new ConformanceMachine(await hypervisor.createVm({ ...setup.options, vcpuCount }), setup);
  }

  /** Writes machine code to guest memory. */
  load(code: Uint8Array, address = this.#setup.codeAddress): void {
    this.vm.memory.copyIn(address, code);
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
      registers: id === 0 ? this.#setup.registers : {},
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
