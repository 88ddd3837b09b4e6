import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { HypervisorError } from '../errors.ts';
import type { Architecture, RamRegion } from '../hypervisor.ts';
import type { ExitAccess, ExitHandler, Vcpu, VcpuStop } from '../vcpu.ts';
import {
  type ArchitectureExits,
  architectureOf,
  type KvmArchitecture,
  type KvmRegisters,
  type KvmState,
} from './architecture.ts';
import { CommonExits } from './common-exits.ts';
import { Mmio } from './mmio.ts';
import { type AttachedVcpu, native } from './native.ts';
import { PortIo } from './port-io.ts';
import { Exit, RunPage } from './run-page.ts';

const { EINTR, EAGAIN } = constants.errno;
const EXIT_REASON_WORD = RunPage.exitReason / 4;

/** What a thread needs to attach to a vCPU. */
export interface KvmVcpuBackEnd {
  /** The vCPU's number in the add-on; unlike a descriptor's it is never used again. */
  readonly handle: number;
  /** Numbers of the registers that its state consists of, besides those that every vCPU has. */
  readonly stateRegisters: Uint32Array;
  /** What calls of the guest may point at. */
  readonly ram: readonly RamRegion[];
  /** Interrupt controllers that are not in the kernel. */
  readonly controllers: unknown;
}

/** One vCPU of KVM's, on the thread that runs it. */
export class KvmVcpu implements Vcpu {
  readonly id: number;
  readonly #architecture: KvmArchitecture;
  readonly #registers: KvmRegisters;
  readonly #stateRegisters: Uint32Array;
  readonly #attached: AttachedVcpu;
  readonly #words: Uint32Array;
  readonly #mmio: Mmio;
  readonly #portIo: PortIo;
  readonly #exits: ArchitectureExits;
  readonly #commonExits: CommonExits;
  #stop: VcpuStop | undefined;
  #wasStopped = false;
  #isOpen = true;

  /** @throws KvmError INVALID_STATE when the machine is gone or another thread has the vCPU */
  constructor(id: number, architecture: Architecture, backEnd: KvmVcpuBackEnd) {
    this.id = id;
    this.#architecture = architectureOf(architecture);
    this.#stateRegisters = backEnd.stateRegisters;
    this.#attached = native().attachVcpu(backEnd.handle);
    const { pages, vcpu } = this.#attached;
    const access: ExitAccess = { address: 0, size: 4, low: 0, high: 0 };
    this.#words = new Uint32Array(pages);
    this.#mmio = new Mmio(pages, access);
    this.#portIo = new PortIo(pages, access);
    this.#exits = this.#architecture.exits({ ...backEnd, id, vcpu, pages });
    this.#commonExits = new CommonExits(pages);
    this.#registers = this.#architecture.registers(vcpu);
  }

  /** What is set here reaches the vCPU when it runs. */
  get registers(): KvmRegisters {
    this.#checkOpen();
    return this.#registers;
  }

  run(accesses: ExitHandler): VcpuStop {
    this.#checkOpen();
    const handler = this.#exits.handlerBefore?.(accesses) ?? accesses;
    this.#registers.flush();
    this.#registers.invalidate();
    const attached = this.#attached;
    if (this.#wasStopped) {
      this.#wasStopped = false;
      this.#architecture.resume(attached.vcpu);
    }
    const words = this.#words;
    this.#stop = undefined;
    for (;;) {
      const error = attached.enter();
      if (error === undefined) {
        const reason = words[EXIT_REASON_WORD];
        if (reason === Exit.io) {
          this.#portIo.handle(handler);
          if (this.#stop !== undefined) return this.#stop;
        } else if (reason === Exit.mmio) {
          this.#mmio.handle(handler);
          if (this.#stop !== undefined) return this.#stop;
        } else {
          const stop = this.#otherExit(reason ?? 0, handler);
          if (stop !== undefined) return stop;
        }
      } else if (error === EINTR || error === EAGAIN) {
        // EAGAIN: a vCPU that waited for the guest to start it has something to do.
        if (native().takeStop(attached.vcpu)) {
          this.#wasStopped = true;
          return { reason: 'stopped', detail: 'as requested' };
        }
        this.#exits.interrupted?.();
      } else {
        return { reason: 'error', detail: `KVM_RUN failed: ${getSystemErrorName(-error)}` };
      }
    }
  }

  stop(stop: VcpuStop): void {
    this.#stop = stop;
  }

  /** Everything the vCPU's next instruction depends on. It must not run; guest memory and the machine's state are not in it. */
  saveState(): KvmState {
    this.#checkOpen();
    this.#registers.flush();
    // What an exit's handler answered is not in the registers before the vCPU was entered once more.
    native().completeExit(this.#attached.vcpu);
    this.#registers.invalidate();
    return this.#architecture.saveVcpu(this.#attached.vcpu, this.#stateRegisters);
  }

  /** @throws KvmError when KVM does not accept the state: it is of another kind of host */
  restoreState(state: KvmState): void {
    this.#checkOpen();
    this.#registers.invalidate();
    this.#architecture.restoreVcpu(this.#attached.vcpu, state);
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#exits[Symbol.dispose]?.();
      native().release(this.#attached.vcpu);
    }
  }

  #checkOpen(): void {
    if (!this.#isOpen) {
      throw new HypervisorError('INVALID_STATE', `vCPU ${this.id} was disposed`);
    }
  }

  /** @returns undefined when the vCPU goes on */
  #otherExit(reason: number, handler: ExitHandler): VcpuStop | undefined {
    const outcome = this.#exits.handle(reason, handler) ?? this.#commonExits.handle(reason);
    return outcome === 'resume' ? this.#stop : outcome;
  }
}
