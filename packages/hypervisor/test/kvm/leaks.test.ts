import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { EventFd } from '@tsvmm/base';
import { expect, it } from 'vitest';
import { hlt, mov16, outAl, X86 } from '../../src/conformance/x86_64-assembler.ts';
import { createMachine, LOCAL_APIC, MODE_16 } from '../../src/conformance/x86_64-machine.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { createLocalMachine, handlerOf, hasX86Kvm } from './support.ts';

/** What of this process could stay behind: descriptors and mappings of KVM's and of guest memory, and threads. */
function census() {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    mappings: maps.filter((line) => /kvm|tsvmm-guest-memory/.test(line)).length,
    threads: readdirSync('/proc/self/task').length,
  };
}

/** Guest memory ends with the last buffer over it, which is when that is collected. */
async function settle(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let round = 0; round < 4; round++) {
    collect();
    await setImmediate();
  }
}

const PROGRAM = [...mov16(X86.dx, 7), ...outAl, ...hlt];

async function cycle(): Promise<void> {
  using event = EventFd.create();
  await using machine = await createLocalMachine(MODE_16, PROGRAM, 2);
  const { vm, vcpu, control } = machine;
  const target = { kind: 'msi', addressLow: LOCAL_APIC, addressHigh: 0, data: 0x31 } as const;
  vm.registerInterruptEvent(event, target);
  vm.registerIoEvent({ space: 'pio', address: 8, length: 0, event });
  const region = { descriptor: vm.memory.fd ?? -1, descriptorOffset: 0, readOnly: true };
  vm.addMemoryRegion({ ...region, guestAddress: 2 ** 30, size: 4096 });
  vm.createVcpu(1);
  expect(vcpu.run(handlerOf({ pioWrite: () => control.requestStop() })).reason).toBe('stopped');
}

/** The same with a thread for the vCPU, as the VMM has it. */
async function threadCycle(): Promise<void> {
  using hypervisor = new KvmHypervisor();
  await using machine = await createMachine(hypervisor, MODE_16);
  machine.load(Uint8Array.from(PROGRAM));
  await machine.start(0).exit();
}

/** A machine that fails when it is half made. */
async function failingCycle(): Promise<void> {
  using hypervisor = new KvmHypervisor();
  const ram = [{ guestAddress: 1, size: 4096 }];
  const machine = hypervisor.createVm({ architecture: 'x86_64', vcpuCount: 1, ram });
  await expect(machine).rejects.toThrow(/no memory for the guest/);
}

if (hasX86Kvm) {
  it('leaves nothing behind after a hundred machines', async () => {
    await cycle();
    await threadCycle();
    await failingCycle();
    await settle();
    const before = census();
    for (let round = 0; round < 100; round++) {
      await cycle();
      if (round % 20 === 0) {
        await threadCycle();
        await failingCycle();
      }
    }
    await settle();
    expect(census()).toEqual(before);
  });
}
