import { describe, it } from 'vitest';
import { riscv64Cases } from '../src/conformance/riscv64-cases.ts';
import { SoftHypervisor } from '../src/soft/soft-hypervisor.ts';

describe('the software hypervisor', () => {
  using probe = new SoftHypervisor();
  for (const { name, requires, run } of riscv64Cases) {
    // What it does not have, `has` says, and the package's tests of memory and resampling show.
    if (requires !== undefined && !probe.has(requires)) continue;
    it(name, async () => {
      using hypervisor = new SoftHypervisor();
      await run(hypervisor);
    });
  }
});
