import { describe, expect, it } from 'vitest';
import type { KvmState } from '../../src/kvm/architecture.ts';
import type { InterruptTarget } from '../../src/vm.ts';
import { hostPrograms } from './host-programs.ts';
import { createLocalMachine, handlerOf, hasKvm, type LocalMachine } from './support.ts';

/** Runs until the guest stores to the device. @returns what it stored */
function runToStore({ vcpu, control }: LocalMachine): number {
  let stored = Number.NaN;
  const stop = vcpu.run(
    handlerOf({
      mmioWrite({ low }) {
        stored = low;
        control.requestStop();
      },
    }),
  );
  expect(stop.reason).toBe('stopped');
  return stored;
}

function raise({ vm }: LocalMachine, target: InterruptTarget): void {
  if (target.kind === 'line') vm.interrupts.line(target.source).set(true);
  else vm.interrupts.msi.send(target.addressLow, target.addressHigh, target.data, target.deviceId);
}

function copyMemory(from: LocalMachine, to: LocalMachine): void {
  for (const { base, size } of from.vm.memory.regions) {
    to.vm.memory.copyIn(base, from.vm.memory.bytes(base, size));
  }
}

describe.runIf(hasKvm)('KVM', () => {
  const { interrupts } = hostPrograms();

  describe('a machine that takes the state of another', () => {
    for (const { name, setup, prepare } of interrupts) {
      it(`takes ${name} as that had been told to`, async () => {
        await using source = await createLocalMachine(setup, []);
        const { code, target, told } = prepare(source.machine);
        source.machine.load(Uint8Array.from(code));
        expect(runToStore(source)).toBe(1);
        const vcpu = structuredClone(source.vcpu.saveState());
        const devices = structuredClone(source.vm.saveState());

        await using other = await createLocalMachine(setup, []);
        copyMemory(source, other);
        other.vcpu.restoreState(vcpu);
        other.vm.restoreState(devices);
        raise(other, target);
        expect(runToStore(other)).toBe(told);
      });

      it(`takes ${name} that came before`, async () => {
        await using source = await createLocalMachine(setup, []);
        const { code, target, told } = prepare(source.machine);
        source.machine.load(Uint8Array.from(code));
        expect(runToStore(source)).toBe(1);
        raise(source, target);
        const vcpu = source.vcpu.saveState();
        const devices = source.vm.saveState();

        await using other = await createLocalMachine(setup, []);
        copyMemory(source, other);
        other.vcpu.restoreState(vcpu);
        other.vm.restoreState(devices);
        expect(runToStore(other)).toBe(told);
      });
    }

    it('refuses what is not the state of such a machine', async () => {
      const [{ setup }] = interrupts as [(typeof interrupts)[0]];
      await using machine = await createLocalMachine(setup, []);
      const refusal = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
      const shortened = (state: KvmState) =>
        Object.fromEntries(Object.entries(state).map(([name, bytes]) => [name, bytes.subarray(1)]));
      const vcpu = machine.vcpu.saveState();
      const devices = machine.vm.saveState();
      expect(() => machine.vcpu.restoreState({})).toThrow(refusal);
      expect(() => machine.vm.restoreState({})).toThrow(refusal);
      expect(() => machine.vcpu.restoreState(shortened(vcpu))).toThrow(refusal);
      expect(() => machine.vm.restoreState(shortened(devices))).toThrow(refusal);
    });
  });
});
