import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explainOpenFailure, hasHardwareVirtualization, hostFacts } from '../../src/kvm/host.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import { selectHypervisor } from '../../src/selection.ts';
import { hasKvm, hasX86Kvm } from './support.ts';

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

const own = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : 'riscv64';

describe('asking for KVM where it is not', () => {
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

/** Says what an ordinary user is told who asks for KVM with a device; what it needs to load is loaded before. */
const AS_NOBODY = `
  const [, module, device, architecture] = process.argv;
  const { selectHypervisor } = await import(module);
  const ask = (kind, architecture) =>
    selectHypervisor(kind, architecture, { kvmDevice: device }).then(
      ({ reason }) => ({ reason }),
      ({ name, code, message }) => ({ name, code, message }),
    );
  await ask('auto', 'riscv64');
  process.setgroups([]);
  process.setgid(65534);
  process.setuid(65534);
  console.log(JSON.stringify([await ask('kvm', architecture), await ask('auto', 'riscv64')]));
`;

// Only root can become somebody else.
if (hasKvm && process.getuid?.() === 0) {
  it('is an error that names permission and group, for a user who may not open the device', () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-'));
    chmodSync(directory.path, 0o755);
    const device = join(directory.path, 'kvm');
    execFileSync('mknod', ['-m', '660', device, 'c', '10', '232']);
    chownSync(device, 0, 1);
    const group = readFileSync('/etc/group', 'utf8').match(/^([^:]*):[^:]*:1:/m)?.[1];
    const module = new URL('../../dist/index.js', import.meta.url).href;
    const script = ['--no-warnings', '--input-type=module', '-e', AS_NOBODY, module, device, own];
    const [asked, chosen] = JSON.parse(execFileSync(process.execPath, script, { encoding: 'utf8' }));
    const remedy = `this user may not use ${device}: join its group with 'sudo usermod -aG ${group} `;
    expect(asked).toEqual({
      name: 'HypervisorError',
      code: 'UNAVAILABLE',
      message: expect.stringContaining(remedy),
    });
    const why = own === 'riscv64' ? remedy : 'not KVM';
    expect(chosen.reason).toMatch(/^software CPU, not KVM: /);
    expect(chosen.reason).toContain(why);
  });
}

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
