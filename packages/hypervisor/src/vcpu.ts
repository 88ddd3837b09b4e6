/**
 * An access of the guest that left the vCPU. One object is reused for every exit of a vCPU: it is valid during the call.
 */
export interface ExitAccess {
  /** Guest-physical address, or I/O port. */
  address: number;
  /** Bytes: 1, 2, 4 or 8. */
  size: 1 | 2 | 4 | 8;
  /** Bits 31:0 of the data, unsigned. A read fills what `size` covers. */
  low: number;
  /** Bits 63:32 of the data, unsigned; used when `size` is 8. */
  high: number;
}

/** Handles a vCPU's exits, on the vCPU's own thread, before the guest's next instruction. */
export interface ExitHandler {
  /** A load from an address that no memory slot covers. */
  mmioRead(access: ExitAccess): void;
  /** A store to an address that no memory slot covers, or that a read-only slot covers. */
  mmioWrite(access: ExitAccess): void;
  /** `in`, x86_64 only. */
  pioRead(access: ExitAccess): void;
  /** `out`, x86_64 only. */
  pioWrite(access: ExitAccess): void;
  /**
   * Bytes for the firmware's debug console (SBI DBCN), riscv64 only.
   *
   * @param address guest-physical address of the bytes: within guest memory, checked by the back end
   * @param length bytes
   * @returns how many of them were taken
   */
  debugConsoleWrite(address: number, length: number): number;
  /** One byte for it, which must be taken. */
  debugConsoleWriteByte(byte: number): void;
}

/**
 * Why {@link Vcpu.run} returned.
 *
 * - `stopped`: {@link VcpuControl.requestStop} was called; `run` may be called again.
 * - `shutdown`: the guest turned the machine off (SBI SRST, PSCI, or a triple fault, as `detail` says).
 * - `reset`: the guest asked for a restart.
 * - `crash`: the guest reported that it crashed (KVM_SYSTEM_EVENT_CRASH, SBI SRST with a failure reason).
 * - `error`: the vCPU cannot go on; `detail` says why.
 */
export type StopReason = 'stopped' | 'shutdown' | 'reset' | 'crash' | 'error';

export interface VcpuStop {
  readonly reason: StopReason;
  /** For people: what the guest or the hypervisor said. */
  readonly detail: string;
}

/** One virtual CPU, on the thread that runs it. */
export interface Vcpu extends Disposable {
  readonly id: number;
  readonly registers: VcpuRegisters;
  /**
   * Runs guest code until there is a reason to stop. Blocks the thread, also while the guest is idle.
   *
   * @throws HypervisorError INVALID_STATE after disposal
   */
  run(handler: ExitHandler): VcpuStop;
  /**
   * Called by an exit's handler: `run` returns this instead of going on with the guest. A device ends the machine with it:
   * power management, reset registers. A software CPU may run a few more instructions first.
   */
  stop(stop: VcpuStop): void;
}

/**
 * Registers by the name the architecture's manual gives them (riscv64: `pc`, `x0`–`x31`, `f0`–`f31`, CSR names; aarch64:
 * `pc`, `x0`–`x30`, `pstate`, `v0`–`v31`, system registers; x86_64: `rip`, `rax`, `cr0`, `cs.base`, MSR names).
 * Values are unsigned and as wide as the register.
 */
export interface VcpuRegisters {
  /** @throws HypervisorError INVALID_ARGUMENT for a name the vCPU does not have */
  get(name: string): bigint;
  /** @throws HypervisorError INVALID_ARGUMENT for a name the vCPU does not have or a value that does not fit */
  set(name: string, value: bigint): void;
  /** Every name that can be read. */
  names(): readonly string[];
}
