import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { aarch64Cases } from '../src/conformance/aarch64-cases.ts';
import { riscv64Cases } from '../src/conformance/riscv64-cases.ts';
import { x86Cases } from '../src/conformance/x86_64-cases.ts';
import type { VmOptions } from '../src/hypervisor.ts';
import { KvmHypervisor } from '../src/kvm/kvm-hypervisor.ts';
import type { Vm } from '../src/vm.ts';

const CASES: Readonly<Partial<Record<NodeJS.Architecture, typeof x86Cases>>> = {
  x64: x86Cases,
  arm64: aarch64Cases,
  riscv64: riscv64Cases,
};
const cases = CASES[process.arch];

/** KVM with the interrupt controllers of {@link VmOptions.irqchip}, whatever is asked for. */
class SplitKvm extends KvmHypervisor {
  override createVm(options: VmOptions): Promise<Vm> {
    return super.createVm({ ...options, irqchip: 'split' });
  }
}

// Where there is no KVM, its absence is what can be tested; test/kvm-hypervisor.test.ts has more of that.
if (existsSync('/dev/kvm') && cases !== undefined) {
  describe('KVM', () => {
    for (const { name, requires, run } of cases) {
      it(name, async () => {
        using hypervisor = new KvmHypervisor();
        // Every kernel that this program supports has all that the suite asks for.
        if (requires !== undefined) expect(hypervisor.has(requires)).toBe(true);
        await run(hypervisor);
      });
    }
  });

  if (process.arch === 'x64') {
    describe('KVM with split interrupt controllers', () => {
      for (const { name, run } of cases.filter(({ about }) => about === 'interrupts')) {
        it(name, async () => {
          using hypervisor = new SplitKvm();
          await run(hypervisor);
        });
      }
    });
  }
} else {
  it('is unavailable where its device is not', () => {
    expect(() => new KvmHypervisor()).toThrow(
      expect.objectContaining({ code: cases === undefined ? 'UNSUPPORTED' : 'UNAVAILABLE' }),
    );
  });
}
