import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { EventFd } from '@tsvmm/base';
import { describe, expect, it } from 'vitest';
import { ConformanceMachine } from '../../src/conformance/machine.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { type HostPrograms, hostPrograms } from './host-programs.ts';
import { createLocalMachine, handlerOf, hasKvm } from './support.ts';

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

/** Everything that a machine can have, used once. */
async function cycle({ setup, tellAndSpin, freeAddress, interrupts }: HostPrograms): Promise<void> {
  using event = EventFd.create();
  using other = EventFd.create();
  await using local = await createLocalMachine(setup, tellAndSpin, 2);
  const { vm, vcpu, control, machine } = local;
  const events = [event, other];
  for (const { prepare } of interrupts.slice(0, events.length)) {
    const next = events.pop();
    if (next !== undefined) vm.registerInterruptEvent(next, prepare(machine).target);
  }
  machine.load(Uint8Array.from(tellAndSpin));
  vm.registerIoEvent({ space: 'mmio', address: freeAddress + 8192, length: 0, event });
  const region = { descriptor: vm.memory.fd ?? -1, descriptorOffset: 0, readOnly: true };
  vm.addMemoryRegion({ ...region, guestAddress: freeAddress, size: 4096 });
  vm.createVcpu(1);
  vm.saveState();
  expect(vcpu.run(handlerOf({ mmioWrite: () => control.requestStop() })).reason).toBe('stopped');
}

/** The same with a thread for the vCPU, as the VMM has it. */
async function threadCycle({ setup, tellAndSpin }: HostPrograms): Promise<void> {
  using hypervisor = new KvmHypervisor();
  await using machine = await ConformanceMachine.create(hypervisor, setup);
  machine.load(Uint8Array.from(tellAndSpin));
  await machine.start(0).exit();
}

/** Machines that fail when they are half made. */
async function failingCycle({ setup }: HostPrograms): Promise<void> {
  using hypervisor = new KvmHypervisor();
  const ram = [{ guestAddress: 1, size: 4096 }];
  const machine = hypervisor.createVm({ ...setup.options, vcpuCount: 1, ram });
  await expect(machine).rejects.toThrow(/no memory for the guest/);
}

describe.runIf(hasKvm)('KVM', () => {
  it('leaves nothing behind after a hundred machines', async () => {
    const programs = hostPrograms();
    const setups = [programs.setup, ...(programs.otherSetups ?? [])];
    for (const setup of setups) await cycle({ ...programs, setup });
    await threadCycle(programs);
    await failingCycle(programs);
    await settle();
    const before = census();
    for (let round = 0; round < 100; round++) {
      await cycle({ ...programs, setup: setups[round % setups.length] ?? programs.setup });
      if (round % 20 === 0) {
        await threadCycle(programs);
        await failingCycle(programs);
      }
    }
    await settle();
    expect(census()).toEqual(before);
  });
});
