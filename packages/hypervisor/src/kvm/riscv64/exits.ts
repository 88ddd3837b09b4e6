import type { RamRegion } from '../../hypervisor.ts';
import type { ExitHandler, VcpuStop } from '../../vcpu.ts';
import type { ArchitectureExits } from '../architecture.ts';
import { Exit, RunPage, SystemEvent } from '../run-page.ts';

/** The debug console extension of SBI 2.0, chapter 12. */
const DEBUG_CONSOLE = 0x4442_434en;
const WRITE = 0n;
const READ = 1n;
const WRITE_BYTE = 2n;
/** Standard errors (SBI 2.0, table 1). */
const SUCCESS = 0n;
const NOT_SUPPORTED = [-2n, 0n] as const;
const INVALID_PARAMETER = [-3n, 0n] as const;

/** Reset reason "system failure" (SBI 2.0, table 32). */
const SYSTEM_FAILURE = 1n;

/** The exits of riscv64 other than accesses: calls of the firmware interface that KVM leaves to us. */
export class Riscv64Exits implements ArchitectureExits {
  readonly #view: DataView;
  readonly #ram: readonly RamRegion[];

  constructor(pages: ArrayBuffer, ram: readonly RamRegion[]) {
    this.#view = new DataView(pages);
    this.#ram = ram;
  }

  handle(reason: number, handler: ExitHandler): VcpuStop | 'resume' | undefined {
    switch (reason) {
      case Exit.riscvSbi: {
        const [error, value] = this.#call(handler);
        this.#view.setBigInt64(RunPage.sbiResult, error, true);
        this.#view.setBigUint64(RunPage.sbiResult + 8, value, true);
        return 'resume';
      }
      case Exit.systemEvent:
        return this.#systemEvent();
      default:
        return undefined;
    }
  }

  /** A shutdown for the reason of a failure is a crash. */
  #systemEvent(): VcpuStop | undefined {
    const type = this.#view.getUint32(RunPage.systemEventType, true);
    const count = this.#view.getUint32(RunPage.systemEventDataCount, true);
    const isFailure =
      type === SystemEvent.shutdown && count > 0 && this.#long(RunPage.systemEventData) === SYSTEM_FAILURE;
    return isFailure
      ? { reason: 'crash', detail: 'the guest turned the machine off because of a failure' }
      : undefined;
  }

  /** @returns the call's error and value */
  #call(handler: ExitHandler): readonly [bigint, bigint] {
    if (this.#long(RunPage.sbiExtension) !== DEBUG_CONSOLE) return NOT_SUPPORTED;
    const length = this.#long(RunPage.sbiArguments);
    const address = this.#long(RunPage.sbiArguments + 8);
    const isMemory = this.#long(RunPage.sbiArguments + 16) === 0n && this.#isMemory(address, length);
    switch (this.#long(RunPage.sbiFunction)) {
      case WRITE:
        if (!isMemory) return INVALID_PARAMETER;
        return [SUCCESS, BigInt(handler.debugConsoleWrite(Number(address), Number(length)))];
      case READ:
        // Nothing is ever typed on the debug console: zero bytes were read.
        return isMemory ? [SUCCESS, 0n] : INVALID_PARAMETER;
      case WRITE_BYTE:
        handler.debugConsoleWriteByte(Number(length & 0xffn));
        return [SUCCESS, 0n];
      default:
        return NOT_SUPPORTED;
    }
  }

  #isMemory(address: bigint, length: bigint): boolean {
    return this.#ram.some(
      ({ guestAddress, size }) =>
        address >= BigInt(guestAddress) && address + length <= BigInt(guestAddress + size),
    );
  }

  #long(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }
}
