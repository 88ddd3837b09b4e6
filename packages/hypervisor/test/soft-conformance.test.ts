import { describe, it } from 'vitest';
import { riscv64Cases } from '../src/conformance/riscv64-cases.ts';
import { SoftHypervisor } from '../src/soft/soft-hypervisor.ts';

describe('the software hypervisor', () => {
  for (const { name, run } of riscv64Cases) {
    it(name, async () => {
      using hypervisor = new SoftHypervisor();
      await run(hypervisor);
    });
  }
});
