import type { VcpuStop } from '../../vcpu.ts';
import type { ArchitectureExits } from '../architecture.ts';
import { Exit, RunPage } from '../run-page.ts';

/** The exits of aarch64 other than accesses. */
export class Aarch64Exits implements ArchitectureExits {
  readonly #view: DataView;

  constructor(pages: ArrayBuffer) {
    this.#view = new DataView(pages);
  }

  handle(reason: number): VcpuStop | undefined {
    if (reason !== Exit.armNoSyndrome) return undefined;
    const address = this.#view.getBigUint64(RunPage.armNoSyndromeAddress, true);
    return {
      reason: 'error',
      detail:
        `the guest accessed 0x${address.toString(16)}, where no memory is, by an instruction that the CPU does not ` +
        'explain (one with write-back, or a pair of registers)',
    };
  }
}
