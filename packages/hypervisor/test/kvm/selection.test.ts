import { chownSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explainOpenFailure, hasHardwareVirtualization, hostFacts } from '../../src/kvm/host.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { selectHypervisor } from '../../src/selection.ts';
import { hasX86Kvm } from './support.ts';

const cpu = (...flags: readonly string[]) => ({
  architecture: 'x64' as const,
  cpuinfo: `processor\t: 0\nflags\t\t: fpu ${flags.join(' ')} lm\nbugs\t\t: none\n`,
});

describe('what is missing, and what to do about it', () => {
  it.each([
    ['ENOENT', cpu('svm'), /modprobe kvm_amd/],
    ['ENOENT', cpu('vmx'), /modprobe kvm_intel/],
    ['ENODEV', cpu('hypervisor'), /without nested virtualization/],
    ['ENOENT', cpu(), /firmware/],
    ['ENOENT', { architecture: 'arm64' as const, cpuinfo: '' }, /EL2/],
    ['EBUSY', cpu('svm'), /in use/],
    ['EISDIR', cpu('svm'), /EISDIR/],
  ])('%s', (errno, facts, expected) => {
    expect(explainOpenFailure(errno, '/dev/kvm', facts)).toMatch(expected);
  });

  it('names the group that may use the device', () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-'));
    const device = join(directory.path, 'kvm');
    writeFileSync(device, '');
    const groups = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
    const gid = process.getgid?.() === 0 ? 1 : process.getgid?.();
    if (process.getuid?.() === 0) chownSync(device, 0, 1);
    const name = groups.find((group) => group[2] === String(gid))?.[0];
    expect(explainOpenFailure('EACCES', device, cpu('svm'))).toContain(`usermod -aG ${name} `);
    expect(explainOpenFailure('EACCES', '/nowhere', cpu('svm'))).toMatch(/permissions/);
  });

  it('knows a CPU that virtualizes from one that does not', () => {
    expect(hasHardwareVirtualization(cpu('vmx'))).toBe(true);
    expect(hasHardwareVirtualization(cpu('svm'))).toBe(true);
    expect(hasHardwareVirtualization(cpu('svm_lock', 'vmxoff'))).toBe(false);
    expect(hasHardwareVirtualization({ architecture: 'riscv64', cpuinfo: '' })).toBe(true);
  });
});

describe('asking for KVM where it is not', () => {
  const own = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : 'riscv64';

  it('is an error that names the device', async () => {
    for (const device of ['/nowhere/kvm', '/dev/null', '/etc/passwd', '/']) {
      await expect(selectHypervisor('kvm', own, { kvmDevice: device })).rejects.toThrow(
        expect.objectContaining({ name: 'HypervisorError', code: 'UNAVAILABLE' }),
      );
    }
  });

  it('is an error that names the architecture', async () => {
    const foreign = process.arch === 'arm64' ? 'x86_64' : 'aarch64';
    await expect(selectHypervisor('kvm', foreign)).rejects.toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    );
  });
});

describe('choosing automatically', () => {
  it('takes software CPUs for guests that KVM does not run, and says why', async () => {
    const { hypervisor, reason } = await selectHypervisor('auto', 'riscv64', { kvmDevice: '/nowhere/kvm' });
    expect(hypervisor.kind).toBe('soft');
    expect(reason).toMatch(/^software CPU, not KVM: .+/);
  });

  it('says of every hypervisor why it does not run a guest', async () => {
    await expect(selectHypervisor('auto', 'aarch64', { kvmDevice: '/nowhere/kvm' })).rejects.toThrow(
      /not KVM.*not software/,
    );
  });

  if (hasX86Kvm) {
    it('takes KVM only where the CPU virtualizes', async () => {
      const isAccelerated = hasHardwareVirtualization(hostFacts());
      const select = () => selectHypervisor('auto', 'x86_64');
      if (isAccelerated) expect((await select()).hypervisor.kind).toBe('kvm');
      else await expect(select()).rejects.toThrow(/neither svm nor vmx/);
      using kvm = (await selectHypervisor('kvm', 'x86_64')).hypervisor;
      expect(kvm).toBeInstanceOf(KvmHypervisor);
    });
  }
});
