import { corpusOf, type FuzzTarget, type FuzzTargets } from '../../../tools/fuzz/target.ts';
import { checkDevice, stopDevice } from '../../devices/fuzz/guest/healthy-driver.ts';
import { Interpreter } from '../../devices/fuzz/guest/interpreter.ts';
import { PLACES } from '../../devices/fuzz/guest/layout.ts';
import type { DeviceProfile } from '../../devices/fuzz/guest/profile.ts';
import { PROFILES, type ProfileName } from '../../devices/fuzz/guest/profiles.ts';
import { decode, describeProgram, mutateProgram, Op } from '../../devices/fuzz/guest/program.ts';
import { seedPrograms } from '../../devices/fuzz/guest/seeds.ts';
import { Guest } from '../../devices/test/support/guest.ts';
import { ProcessMachine } from './process-machine.ts';

const NAMES = Object.keys(PROFILES) as ProfileName[];

/** The devices of @tsvmm/devices again, each in its jailed process, with what was found of them on one thread. */
export const TARGETS: FuzzTargets = Object.fromEntries(
  NAMES.map((name) => [`${name}-process`, processTarget(name)]),
);

function processTarget(name: ProfileName): FuzzTarget {
  const profile: DeviceProfile = PROFILES[name];
  let started: Promise<ProcessMachine> | undefined;
  return {
    seeds: async () => [...seedPrograms(profile), ...corpusOf('devices', name).values()],
    mutate: (input, other, random) => mutateProgram(input, other, random, PLACES),
    describe: describeProgram,
    async exercise(bytes) {
      // The same processes for all programs: each begins after a reset.
      started ??= ProcessMachine.start(name);
      const machine = await started;
      const guest = new Guest(machine.bus, machine.memory, machine.shared, machine.interrupts);
      const interpreter = new Interpreter(guest, profile, machine.host);
      for (const step of decode(bytes)) {
        interpreter.execute(step);
        const turns = step.op === Op.turn ? (step.a & 7) + 1 : 0;
        for (let turn = 0; turn < turns; turn++) await machine.turn();
      }
      await checkDevice(machine, await stopDevice(machine, machine.memory), profile);
      await machine.checkWitness();
    },
    async close() {
      await (await started)?.[Symbol.asyncDispose]();
      started = undefined;
    },
  };
}
