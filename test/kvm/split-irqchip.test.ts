import { describe, expect, test } from 'vitest';
import { runGuest, UNCONFINED } from './guest.ts';

const SPLIT = [...UNCONFINED, '--irqchip', 'split', '--cpus', '2'];

/** Lines of /proc/interrupts: how often each interrupt has come, by its number and its chip, trigger and users. */
function interruptCounts(text: string) {
  return [...text.matchAll(/^ *(\d+):((?: +\d+)+) +(\S.*)$/gm)].map(([, number, counts = '', what = '']) => ({
    number: Number(number),
    count: counts.split(' ').reduce((sum, count) => sum + Number(count), 0),
    what: what.replace(/ +/g, ' '),
  }));
}

describe.runIf(process.arch === 'x64')('an x86_64 guest whose 8259s, I/O APIC and 8254 are here', () => {
  test('boots, gets edges and levels by the I/O APIC, and turns the machine off', async () => {
    // Without MSIs, all that PCI devices have are level-triggered inputs.
    const ended = await runGuest(
      ['cat /proc/interrupts', 'dmesg -r', 'poweroff -f'],
      [
        ...SPLIT,
        ...['--params', 'pci=nomsi'],
        ...['--serial', 'type=stdout,hardware=virtio-console,console,stdin'],
      ],
    );
    expect(ended.status, ended.console + ended.messages).toBe(0);
    const counts = interruptCounts(ended.outputs[0] ?? '');
    const level = counts.filter(({ what }) => /^IO-APIC \d+-fasteoi virtio/.test(what));
    expect(level.length, ended.outputs[0]).toBeGreaterThan(0);
    expect(level.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(10);
    const messages = ended.outputs[1]?.split('\n') ?? [];
    expect(messages.length).toBeGreaterThan(100);
    expect(messages.filter((line) => /^<[0-3]>/.test(line))).toEqual([]);
    // What Linux says of interrupts that it cannot make sense of, and of timers that it tries in vain.
    const complaints = /nobody cared|spurious interrupt|MP-BIOS|IO-APIC.*(fail|not work)/i;
    expect(messages.filter((line) => complaints.test(line))).toEqual([]);
  });

  test('gets the edges of a serial port, and can be started anew', async () => {
    const ended = await runGuest(['cat /proc/interrupts', 'reboot -f'], SPLIT);
    expect(ended.status, ended.console + ended.messages).toBe(32);
    const serial = interruptCounts(ended.outputs[0] ?? '').find(({ number }) => number === 4);
    expect(serial, ended.outputs[0]).toMatchObject({ what: 'IO-APIC 4-edge ttyS0' });
    expect(serial?.count).toBeGreaterThan(0);
  });
});
