import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { placeTables } from '../../packages/acpi/src/index.ts';
import { ACPI_RSDP, POWER_MANAGEMENT_PORT } from '../../packages/arch-x86_64/src/layout.ts';
import { memoryMap } from '../../packages/arch-x86_64/src/memory-map.ts';
import { acpiTables, OEM } from '../../packages/arch-x86_64/src/tables/acpi-tables.ts';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';
import { KvmHypervisor } from '../../packages/hypervisor/src/index.ts';
import { type Ended, runGuest, UNCONFINED } from './guest.ts';
import { makeRootDisk } from './root-disk.ts';

/** `lspci -n` in a guest of crosvm's with a console, a disk and nothing else that is asked for. */
const CROSVM = [
  // Host bridge, and virtio console, disk, random numbers and balloon.
  '00:00.0 0600: 8086:1237',
  '00:01.0 0780: 1af4:1043 (rev 01)',
  '00:02.0 0180: 1af4:1042 (rev 01)',
  '00:03.0 0880: 1af4:1044 (rev 01)',
  '00:04.0 0880: 1af4:1045 (rev 01)',
  // USB controller, pvpanic, root port.
  '00:05.0 0c03: 1b73:1400',
  '00:06.0 ffff: 1b36:0011 (rev 01)',
  '00:07.0 0604: 8086:3420',
];

const MEMORY = 256 * 2 ** 20;
const VCPUS = 2;
const SLEEP = 'echo standby > /sys/power/state && echo awake';
/** A command to the attention indicator of the slot, and whether there is a card. */
const SLOT = '(cd /sys/bus/pci/slots/0; echo 1 >attention; cat attention adapter)';
const SMBIOS = [
  ...['bios-vendor=vendor', 'bios-version=1.2', 'manufacturer=maker', 'product-name=product'],
  ...['serial-number=serial', 'uuid=01234567-89ab-cdef-0123-456789abcdef'],
];

/** Bytes of the tables that acpidump prints as text, by signature. */
function dumpedTables(text: string): ReadonlyMap<string, Buffer> {
  const tables = text.matchAll(/^(\S+) @ 0x[0-9A-F]+\n((?: +[0-9A-F]+: .*\n?)+)/gm);
  return new Map(
    [...tables].map(([, signature = '', lines = '']) => {
      const bytes = [...lines.matchAll(/^ +[0-9A-F]+: ((?:[0-9A-F]{2} )+)/gm)].map(([, hex]) => hex);
      return [signature, Buffer.from(bytes.join('').replaceAll(' ', ''), 'hex')];
    }),
  );
}

/** What the board of such a machine has in memory from the RSDP on. */
function writtenTables(): Uint8Array {
  using hypervisor = new KvmHypervisor();
  const { addressBits } = hypervisor;
  const { configuration, lowWindow, highWindow } = memoryMap({
    ramSize: MEMORY,
    vcpuCount: VCPUS,
    addressBits,
  });
  const tables = acpiTables({
    vcpuCount: VCPUS,
    powerManagementPort: POWER_MANAGEMENT_PORT,
    hasRtc: true,
    configuration,
    lowWindow,
    highWindow,
    pciInterrupts: [
      // Console, disk, rng, balloon, and USB controller.
      ...[9, 10, 11, 12, 9].map((source, index) => ({ device: index + 1, function: 0, pin: 1, source })),
      // The root port, and what may come behind it.
      ...[11, 12, 9, 10].map((source, index) => ({ device: 7, function: 0, pin: index + 1, source })),
    ],
  });
  return placeTables({ address: ACPI_RSDP, size: 0x1_0000, oem: OEM, tables }).bytes;
}

describe.runIf(process.arch === 'x64')('an x86_64 guest', () => {
  let folder = '';
  let ended: Ended;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tsvmm-kvm-'));
    const disk = join(folder, 'root');
    await makeRootDisk(disk, await fetchGuest({ architecture: process.arch }), {
      programs: ['/usr/bin/lspci', '/usr/bin/acpidump', '/usr/sbin/dmidecode'],
    });
    ended = await runGuest(
      [
        'lspci -n',
        'acpidump',
        'dmidecode -q',
        'dmesg -r',
        SLEEP,
        SLOT,
        'dmesg | grep -i pcie',
        'poweroff -f',
      ],
      [
        ...UNCONFINED,
        ...['--block', `${disk},root,ro`, '--cpus', `${VCPUS}`, '--mem', `${MEMORY / 2 ** 20}`],
        ...['--serial', 'type=stdout,hardware=virtio-console,console,stdin'],
        ...['--smbios', SMBIOS.join()],
        ...['--oem-strings', 'an OEM string'],
      ],
    );
    expect(ended.status, ended.console + ended.messages).toBe(0);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test("finds devices where crosvm's guests find them", () => {
    expect(ended.outputs[0]?.split('\n')).toEqual(CROSVM);
  });

  test('finds the ACPI tables that were written', () => {
    const dumped = dumpedTables(ended.outputs[1] ?? '');
    expect([...dumped.keys()].toSorted()).toEqual(['APIC', 'DSDT', 'FACP', 'FACS', 'MCFG']);
    const written = Buffer.from(writtenTables());
    for (const [signature, bytes] of dumped) expect(written.includes(bytes), signature).toBe(true);
  });

  test('reads SMBIOS', () => {
    const shown = `${ended.outputs[2]}\n`;
    for (const line of [
      'Vendor: vendor',
      'Version: 1.2',
      'Manufacturer: maker',
      'Product Name: product',
      'Serial Number: serial',
      'UUID: 01234567-89ab-cdef-0123-456789abcdef',
      'String 1: an OEM string',
    ]) {
      expect(shown).toContain(`\t${line}\n`);
    }
    expect(shown).not.toMatch(/invalid|wrong|broken|<BAD INDEX>/i);
  });

  test('has a kernel that finds nothing wrong with ACPI, MP table, PCI and APICs', () => {
    const messages = ended.outputs[3]?.split('\n') ?? [];
    expect(messages.length).toBeGreaterThan(100);
    // Warnings and worse of the subsystems; whoever misses a feature of the CPU says so under another name.
    const subsystems =
      /^<[0-4]>\[[ \d.]+\] (ACPI|acpi|PCI|pci|pcieport|MPTABLE|mpparse|APIC|IOAPIC|IO-APIC|x2apic)\b/;
    expect(messages.filter((line) => subsystems.test(line))).toEqual([]);
    expect(messages.filter((line) => /^<[0-3]>/.test(line))).toEqual([]);
    expect(messages.filter((line) => /ACPI (Error|Warning|BIOS)|\[Firmware Bug\]/.test(line))).toEqual([]);
  });

  test('has a driver for the slot of the root port, whose commands are completed', () => {
    const messages = ended.outputs[6];
    expect(ended.outputs[5]).toBe('1\n0');
    expect(messages).toMatch(
      /pciehp: Slot #0 AttnBtn\+ PwrCtrl- MRL- AttnInd\+ PwrInd\+ HotPlug\+ Surprise\+/,
    );
    expect(messages).not.toMatch(/timeout|spurious/i);
  });

  test('comes back from a sleep, which nobody ends', () => {
    expect(ended.outputs[4]).toBe('awake');
  });
});

test.runIf(process.arch === 'x64')('a triple fault turns the machine off', async () => {
  const { status, console, messages } = await runGuest(
    ['reboot -f'],
    [...UNCONFINED, '--params', 'reboot=t,force'],
  );
  expect(status, console + messages).toBe(0);
});
