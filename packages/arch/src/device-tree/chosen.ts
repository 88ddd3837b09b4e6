import type { FdtNode } from '@tsvmm/fdt';
import type { AddressRange } from '../address-allocator.ts';

/** Bytes of randomness: for the place of the kernel, and for its pool of random numbers. */
const KASLR_SEED_SIZE = 8;
const RNG_SEED_SIZE = 256;

/** What the kernel is told beside the hardware (Linux, Documentation/devicetree/usage-model.rst, and dt-schema's chosen). */
export interface Chosen {
  readonly commandLine: string;
  readonly initrd: AddressRange | undefined;
  /** The node that is `stdout-path`, if any. */
  readonly standardOutput: FdtNode | undefined;
  readonly seeds: Seeds;
}

export interface Seeds {
  /** 8 bytes for the place of the kernel. */
  readonly kaslr: Uint8Array;
  /** 32 bytes or more for the pool of random numbers. */
  readonly rng: Uint8Array;
}

/** Seeds for one start of a machine. */
export function randomSeeds(): Seeds {
  return {
    kaslr: crypto.getRandomValues(new Uint8Array(KASLR_SEED_SIZE)),
    rng: crypto.getRandomValues(new Uint8Array(RNG_SEED_SIZE)),
  };
}

export function addChosen(root: FdtNode, { commandLine, initrd, standardOutput, seeds }: Chosen): FdtNode {
  const chosen = root.node('chosen').string('bootargs', commandLine);
  chosen.bytes('kaslr-seed', seeds.kaslr).bytes('rng-seed', seeds.rng);
  // BARs are assigned already: the guest keeps them.
  chosen.u32('linux,pci-probe-only', 1);
  if (initrd !== undefined) {
    chosen.u64('linux,initrd-start', initrd.start).u64('linux,initrd-end', initrd.end);
  }
  if (standardOutput !== undefined) chosen.string('stdout-path', standardOutput.path);
  return chosen;
}
