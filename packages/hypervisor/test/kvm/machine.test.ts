import { readFileSync } from 'node:fs';
import { EventFd } from '@tsvmm/base';
import { describe, expect, it } from 'vitest';
import { attachInterrupts } from '../../src/attach.ts';
import { inAl, mov16, mov32, outAl, spinHere, store32, X86 } from '../../src/conformance/x86_64-assembler.ts';
import { DEVICE, LOCAL_APIC, MODE_16, MODE_32 } from '../../src/conformance/x86_64-machine.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { attach, createLocalMachine, handlerOf, hasX86Kvm } from './support.ts';

const { ax, bx, cx, dx } = X86;
const CPUID = [0x0f, 0xa2];
const code = (expected: string) => expect.objectContaining({ name: 'HypervisorError', code: expected });

describe.runIf(hasX86Kvm)('KVM on x86_64', () => {
  describe('a vCPU', () => {
    it('belongs to one thread at a time', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      expect(() => attach(machine.control)).toThrow(code('INVALID_STATE'));
      machine.vcpu[Symbol.dispose]();
      using again = attach(machine.control);
      machine.control.requestStop();
      expect(again.run(handlerOf({})).reason).toBe('stopped');
    });

    it('cannot be used after its disposal', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      machine.vcpu[Symbol.dispose]();
      machine.vcpu[Symbol.dispose]();
      expect(() => machine.vcpu.run(handlerOf({}))).toThrow(code('INVALID_STATE'));
      expect(() => machine.vcpu.registers).toThrow(code('INVALID_STATE'));
    });

    it('stops when its machine is disposed, and cannot be attached to any more', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      await machine.vm[Symbol.asyncDispose]();
      expect(machine.vcpu.run(handlerOf({})).reason).toBe('stopped');
      machine.control.requestStop();
      machine.vcpu[Symbol.dispose]();
      expect(() => attach(machine.control)).toThrow(code('INVALID_STATE'));
      expect(() => machine.vm.interruptsDescriptor()).toThrow(code('INVALID_STATE'));
    });

    it('can go on after a handler that threw', async () => {
      await using machine = await createLocalMachine(MODE_16, [
        ...mov16(dx, 7),
        ...inAl,
        ...outAl,
        ...spinHere,
      ]);
      const { vcpu, control } = machine;
      const failing = handlerOf({
        pioRead(access) {
          access.low = 0x5a;
          throw new Error('no');
        },
      });
      expect(() => vcpu.run(failing)).toThrow('no');
      const written: number[] = [];
      const pioWrite = ({ address, low }: { address: number; low: number }) => {
        written.push(address, low);
        control.requestStop();
      };
      expect(vcpu.run(handlerOf({ pioWrite })).reason).toBe('stopped');
      expect(written.slice(0, 1)).toEqual([7]);
    });

    it('has the registers that the manual names, and no others', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      const { registers } = machine.vcpu;
      expect(() => registers.get('x5')).toThrow(code('INVALID_ARGUMENT'));
      expect(() => registers.set('rax', -1n)).toThrow(code('INVALID_ARGUMENT'));
      expect(() => registers.set('cs', 0x1_0000n)).toThrow(code('INVALID_ARGUMENT'));
      expect(() => registers.get('msr:0xdeadbeef')).toThrow(/0xdeadbeef/);
      expect(registers.get('msr:0x277')).toBe(registers.get('IA32_PAT'));
      expect(new Set(registers.names()).size).toBe(registers.names().length);
      for (const name of registers.names()) expect(registers.get(name)).toBeTypeOf('bigint');
    });

    it('knows its place among the others, and that it is virtual', async () => {
      const tell = [...mov32(bx, DEVICE), ...store32(bx)];
      const ask = (leaf: number, index: number, register: number) => [
        ...[...mov32(ax, leaf), ...mov32(cx, index), ...CPUID],
        ...[0x89, 0xc0 | (register << 3), ...tell],
      ];
      const questions = [ask(1, 0, bx), ask(1, 0, cx), ask(0xb, 1, bx), ask(0xb, 0, dx)];
      await using machine = await createLocalMachine(MODE_32, [...questions.flat(), ...spinHere], 4);
      const answers: number[] = [];
      const mmioWrite = ({ low }: { low: number }) => {
        if (answers.push(low) === questions.length) machine.control.requestStop();
      };
      machine.vcpu.run(handlerOf({ mmioWrite }));
      const [identity = 0, features = 0, threads, id] = answers;
      expect([identity >>> 24, (identity >>> 16) & 0xff]).toEqual([0, 4]);
      expect([features >>> 31, (features >>> 5) & 1]).toEqual([1, 0]);
      expect([threads, id]).toEqual([4, 0]);
    });

    it('is the same in another machine once its state is there', async () => {
      const program = [...mov16(dx, 7), ...inAl, ...outAl, ...spinHere];
      const ports = (control: { requestStop(): void }, seen: number[]) =>
        handlerOf({
          pioRead(access) {
            access.low = 0x5a;
            control.requestStop();
          },
          pioWrite({ low }) {
            seen.push(low);
            control.requestStop();
          },
        });
      await using source = await createLocalMachine(MODE_16, program);
      const marks = { mxcsr: 0x1fa0n, dr0: 0x1234n, IA32_LSTAR: 0x5678n, 'apic.tpr': 0x20n, rbp: 0x9abcn };
      for (const [name, value] of Object.entries(marks)) source.vcpu.registers.set(name, value);
      expect(source.vcpu.run(ports(source.control, [])).reason).toBe('stopped');
      const state = source.vcpu.saveState();

      await using target = await createLocalMachine(MODE_16, program);
      target.vcpu.restoreState(structuredClone(state));
      for (const name of source.vcpu.registers.names().filter((register) => !register.includes('TSC'))) {
        expect([name, target.vcpu.registers.get(name)]).toEqual([name, source.vcpu.registers.get(name)]);
      }
      for (const [name, value] of Object.entries(marks)) expect(target.vcpu.registers.get(name)).toBe(value);
      const seen: number[] = [];
      expect(target.vcpu.run(ports(target.control, seen)).reason).toBe('stopped');
      expect(seen).toEqual([0x5a]);
      expect(() => target.vcpu.restoreState({})).toThrow(code('INVALID_ARGUMENT'));
      expect(() => target.vcpu.restoreState({ ...state, registers: new Uint8Array(3) })).toThrow(
        code('INVALID_ARGUMENT'),
      );
    });
  });

  describe('a machine', () => {
    it('can be a hypervisor itself where the host allows it', async () => {
      using hypervisor = new KvmHypervisor();
      const options = { ...MODE_16.options, vcpuCount: 1 };
      const create = hypervisor.createVm({ ...options, nested: 'on' });
      if (hypervisor.has('nested-virtualization')) await (await create)[Symbol.asyncDispose]();
      else await expect(create).rejects.toThrow(code('UNSUPPORTED'));
      await using _machine = await hypervisor.createVm({ ...options, nested: 'auto' });
    });

    it('does not mind messages that nobody listens to', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      const { msi } = await attachInterrupts(machine.vm.interruptsDescriptor());
      msi.send(0x1234, 0, 0xffff_ffff);
      msi.send(LOCAL_APIC + (7 << 12), 0, 0x31);
      machine.vm.interrupts.msi.send(0xffff_ffff, 0xffff_ffff, 0);
    });

    it('frees the routes of interrupt events', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      using event = EventFd.create();
      const target = { kind: 'msi', addressLow: LOCAL_APIC, addressHigh: 0, data: 0x31 } as const;
      for (let cycle = 0; cycle < 4200; cycle++) {
        machine.vm.registerInterruptEvent(event, target)[Symbol.dispose]();
      }
      using _first = machine.vm.registerInterruptEvent(event, target);
      // One eventfd raises one interrupt.
      expect(() => machine.vm.registerInterruptEvent(event, target)).toThrow(code('INVALID_STATE'));
      await machine.vm[Symbol.asyncDispose]();
    });

    it('refuses memory that is not there', async () => {
      await using machine = await createLocalMachine(MODE_16, spinHere);
      const { vm } = machine;
      const region = {
        guestAddress: 0x1000_0000,
        size: 0x1000,
        descriptor: vm.memory.fd ?? -1,
        descriptorOffset: 0,
        readOnly: false,
      };
      for (const change of [
        { guestAddress: 0x1000_0001 },
        { guestAddress: -0x1000 },
        { guestAddress: 2 ** 60 },
        { guestAddress: 0xf_f000, size: 0x2000 },
        { size: 0 },
        { size: 0x1001 },
        { size: Number.NaN },
        { descriptorOffset: 1 },
        { descriptorOffset: 16 * 2 ** 20 },
        { descriptorOffset: Number.MAX_SAFE_INTEGER - 0xfff },
      ]) {
        expect(() => vm.addMemoryRegion({ ...region, ...change })).toThrow(code('INVALID_ARGUMENT'));
      }
      expect(() => vm.addMemoryRegion({ ...region, descriptor: 1_000_000 })).toThrow(code('INVALID_STATE'));
      expect(vm.addMemoryRegion(region)).toBeGreaterThan(0);
    });
  });

  describe('memory that is not shared with other processes', () => {
    it('is what the guest sees, in huge pages where the host has them', async () => {
      using hypervisor = new KvmHypervisor();
      const size = 4 * 2 ** 20;
      await using vm = await hypervisor.createVm({
        architecture: 'x86_64',
        ram: [{ guestAddress: 0, size }],
        vcpuCount: 1,
        sharedMemory: false,
      });
      const { memory } = vm;
      expect(memory.fd).toBeUndefined();
      expect(() => memory.processDescriptor()).toThrow(expect.objectContaining({ code: 'NOT_SHAREABLE' }));
      const advised = readFileSync('/proc/self/smaps', 'utf8')
        .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
        .filter((mapping) => mapping.includes(`Size:${String(size / 1024).padStart(19)} kB`))
        .filter((mapping) => / hg\b/.test(mapping) && / dc\b/.test(mapping));
      expect(advised).toHaveLength(1);
      // mov al, [0x2000]; inc al; mov [0x2001], al; out 7, al
      const program = [0xa0, 0x00, 0x20, 0xfe, 0xc0, 0xa2, 0x01, 0x20, 0xe6, 0x07];
      memory.copyIn(0x1000, Uint8Array.from(program));
      memory.writeUint8(0x2000, 41);
      const control = vm.createVcpu(0);
      using vcpu = attach(control);
      for (const name of ['cs', 'cs.base']) vcpu.registers.set(name, 0n);
      vcpu.registers.set('rip', 0x1000n);
      vcpu.run(handlerOf({ pioWrite: () => control.requestStop() }));
      expect(memory.readUint8(0x2001)).toBe(42);
    });
  });
});
