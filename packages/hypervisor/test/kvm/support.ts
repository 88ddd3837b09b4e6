import { existsSync } from 'node:fs';
import { ConformanceMachine, type MachineSetup } from '../../src/conformance/machine.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { KvmVcpu, type KvmVcpuBackEnd } from '../../src/kvm/kvm-vcpu.ts';
import { KvmVm } from '../../src/kvm/kvm-vm.ts';
import type { ExitAccess, ExitHandler } from '../../src/vcpu.ts';
import type { VcpuControl } from '../../src/vm.ts';

/** Whether this host has what the tests of x86_64 machines need. The other tests are of what is said where it has not. */
export const hasX86Kvm = process.arch === 'x64' && existsSync('/dev/kvm');
export const hasKvm = existsSync('/dev/kvm');

/** A handler that answers nothing, with some of its methods replaced. */
export function handlerOf(methods: Partial<ExitHandler>): ExitHandler {
  const ignore = (_access: ExitAccess) => {};
  return {
    mmioRead: ignore,
    mmioWrite: ignore,
    pioRead: ignore,
    pioWrite: ignore,
    debugConsoleWrite: () => 0,
    debugConsoleWriteByte: () => {},
    ...methods,
  };
}

/** A machine with code, and its first vCPU on this thread. */
export interface LocalMachine extends AsyncDisposable {
  readonly machine: ConformanceMachine;
  readonly vm: KvmVm;
  readonly control: VcpuControl;
  readonly vcpu: KvmVcpu;
}

export async function createLocalMachine(
  setup: MachineSetup,
  code: readonly number[],
  vcpuCount = 1,
): Promise<LocalMachine> {
  await using cleanup = new AsyncDisposableStack();
  const hypervisor = cleanup.use(new KvmHypervisor());
  const machine = cleanup.use(await ConformanceMachine.create(hypervisor, setup, vcpuCount));
  machine.load(Uint8Array.from(code));
  const { vm } = machine;
  if (!(vm instanceof KvmVm)) throw new Error('not a machine of KVM');
  const control = vm.createVcpu(0);
  const vcpu = cleanup.use(attach(control));
  for (const [name, value] of Object.entries(setup.registers)) vcpu.registers.set(name, value);
  const resources = cleanup.move();
  return { machine, vm, control, vcpu, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

export function attach({ id, descriptor }: VcpuControl): KvmVcpu {
  return new KvmVcpu(id, descriptor.architecture, descriptor.backEnd as KvmVcpuBackEnd);
}
